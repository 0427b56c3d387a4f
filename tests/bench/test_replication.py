"""`docs/replication.md` shows the numbers that were kept of its study, and no others."""

from pathlib import Path

from bench.replication import BLOCK, STUDY, page

PAGE = Path(__file__).parents[2] / "docs" / "replication.md"


def test_the_tables_are_the_kept_numbers(tmp_path: Path) -> None:
    """Write them again with `python -m bench.replication write docs/replication.md`."""
    text, kept = PAGE.read_text(), PAGE.with_suffix("")
    assert len(BLOCK.findall(text)) >= 5 and page(text, kept) == text
    for file in kept.glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
    other = (kept / STUDY).read_text().replace('"value": 0.', '"value": 0.1')
    (tmp_path / STUDY).write_text(other)
    assert page(text, tmp_path) != text
