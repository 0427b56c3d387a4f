"""`warmrl reward score`: rows in, grades out in order, settings, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from warmrl.cli.reward import opened, score
from warmrl.domain.errors import RecipeError, UsageError

HANGS = "(x+y)^{2000}-(x-y)^{1999}"


def graded(tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[Any], **options: Any) -> list[dict[str, Any]]:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    score(file, **({"use": "math", "answer": "boxed", "sets": [], "as_json": True} | options))
    shown = capsys.readouterr()
    assert f"{len(rows)} rows under" in shown.err
    return [json.loads(line) for line in shown.out.splitlines()]


def row(gold: Any, answer: str, **extra: Any) -> dict[str, Any]:
    return {"gold": gold, "completion": f"so \\boxed{{{answer}}}", **extra}


def test_verdicts_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("42", HANGS), row("6\\sqrt{2}", "\\sqrt{72}"), row("x+1", "1+x"), row("6\\sqrt{2}", "6")]
    rows += [{"gold": "3", "completion": "three"}, row(3, "3.0"), *(row(str(one), str(one)) for one in range(300))]
    found = graded(tmp_path, capsys, rows, sets=["deadline=0.7"])
    assert [one["verdict"] for one in found] == ["timed out", "right", "right", "wrong", "no answer", *["right"] * 301]
    assert [one["extracted"] for one in found[6:]] == [str(one) for one in range(300)]
    assert [set(one) for one in found] == [{"score", "extracted", "verdict", "seconds"}] * len(rows)
    assert found[4]["extracted"] is None
    assert found[0]["seconds"] >= 0.7


def test_other_keys_reach_the_grader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("A", "blue", choices=["blue", "red"]), row("A", "red", choices=["blue", "red"])]
    assert [one["verdict"] for one in graded(tmp_path, capsys, rows, use="choice")] == ["right", "wrong"]


def test_scores_style_and_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"gold": [0, 0, 10, 10], "completion": "<answer>[0, 0, 10, 4]</answer>"}]
    for threshold, verdict in ((0.3, "right"), (0.5, "wrong")):
        found = graded(tmp_path, capsys, rows, use="iou", answer="tags", sets=[f"threshold={threshold}"])
        assert (found[0]["score"], found[0]["verdict"]) == (0.4, verdict)


def test_texts_that_break_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("4", "4"), row("4", "4\u2028"), row("4", "\x85 4"), row("4", "\u202e4\ufffe")]
    assert [one["verdict"] for one in graded(tmp_path, capsys, rows, use="digit")][:2] == ["right", "right"]
    (tmp_path / "surrogate.jsonl").write_text('{"gold": "4", "completion": "\\\\boxed{\\ud800}"}')
    for as_json in (True, False):
        score(tmp_path / "surrogate.jsonl", "digit", "boxed", [], as_json)
        capsys.readouterr().out.encode()


@pytest.mark.parametrize(
    "line",
    [
        '{"gold": "3"}',
        '{"gold": null, "completion": "3"}',
        '{"gold": "3", "completion": 3}',
        "[1]",
        "3",
        "{",
        "[" * 99_999,
    ],
)
def test_a_bad_row_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"gold": "3", "completion": "3"}\n\n' + line + "\n")
    with pytest.raises(UsageError, match=r"row 3: a row is a JSON object") as refused:
        score(file, "math", "boxed", [], True)
    assert refused.value.exit_code == 2


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    for name, why in (("nowhere", "No such file"), ("image.png", "no UTF-8 text")):
        with pytest.raises(UsageError, match=why):
            score(tmp_path / name, "math", "boxed", [], True)


@pytest.mark.parametrize(
    ("use", "answer", "sets", "words"),
    [
        ("maths", "boxed", [], "did you mean `math`"),
        ("math", "boxes", [], "did you mean `boxed`"),
        ("math", "boxed", ["deadlin=3"], "did you mean `deadline`"),
        ("math", "boxed", ["deadline=0"], "reward.deadline"),
        ("math", "boxed", ["deadline"], "dotted key"),
    ],
)
def test_a_bad_choice_is_named(use: str, answer: str, sets: list[str], words: str) -> None:
    with pytest.raises(RecipeError, match=words) as refused:
        opened(use, answer, sets)
    assert refused.value.exit_code == 2
