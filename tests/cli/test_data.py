"""`warmrl data overlap`: datasets are chosen as recipe tables are, and refused the same way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planted_overlaps import drawing, question
from typer.testing import CliRunner

from warmrl.cli.main import app
from warmrl.domain.errors import UsageError


def written(folder: Path, numbers: list[int]) -> str:
    folder.mkdir()
    rows = []
    for number in numbers:
        drawing(number).save(folder / f"{number}.png")
        rows.append(
            {"id": f"{folder.name}{number}", "question": question(number), "answer": 1} | {"image": f"{number}.png"}
        )
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"files={folder}"


def test_overlap(tmp_path: Path) -> None:
    train, suite = written(tmp_path / "t", [0, 1, 2]), written(tmp_path / "s", [5, 1])
    command = ["data", "overlap", "--train", train, "--suite", suite]
    shown = CliRunner().invoke(app, command, catch_exceptions=False)
    assert shown.output.splitlines()[0].startswith("1 of 2 problems")
    assert shown.output.splitlines()[1:] == ["s1  text  t1", "s1  image  t1"]
    machine = CliRunner().invoke(app, [*command, "--json", "--set", "train.limit=1"], catch_exceptions=False)
    assert json.loads(machine.output) == {
        "problems": 2, "training": 1, "overlapping": 0, "counts": {"text": 0, "ngram": 0, "image": 0}, "matches": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "mathvist"], ["`suite.use`", "`mathvista`"]),
        (["--suite", "files"], ["`suite.path`", "missing"]),
        (["--suite", "pocket_charts", "--set", "suite.splt=test"], ["`suite.splt`", "`split`"]),
        (["--suite", "pocket_charts", "--set", "suit.split=test"], ["`suit`", "`suite`"]),
    ],
)
def test_a_bad_choice_is_refused(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(app, ["data", "overlap", "--train", "pocket_charts", *arguments], catch_exceptions=False)
    for word in words:
        assert word in str(caught.value)
