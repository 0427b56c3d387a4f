"""The report of a run: numbers (`build`), and the files a person opens (`output`: report.json, .html and .md)."""
