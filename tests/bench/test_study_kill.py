"""What a killed study must share with an uninterrupted one: the Markdown without its clocks, and the browser."""

import json
from pathlib import Path

from bench.study_kill import digests


def written(folder: Path, *, seconds: float = 1.0, said: str = "same", sample: str = "same") -> dict[str, str]:
    (folder / "browser").mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"said": said, "timings": seconds}))
    for name in ("report.html", "report.md"):
        (folder / name).write_text(f"{said}\n<!-- timings -->\n{seconds}\n<!-- /timings -->\n")
    (folder / "browser" / "chunk-000.js").write_text(sample)
    return digests(folder)


def test_clocks_may_differ_and_nothing_else(tmp_path: Path) -> None:
    first, slower = written(tmp_path / "a"), written(tmp_path / "b", seconds=2.0)
    assert first == slower and len(first) == 4
    for place, other in enumerate((written(tmp_path / "c", said="other"), written(tmp_path / "d", sample="other"))):
        differing = {name for name in first if first[name] != other[name]}
        assert differing == [{"report.json", "report.html", "report.md"}, {"browser/chunk-000.js"}][place]
