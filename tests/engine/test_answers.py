"""The store of answers: what is missing is added, what is there is never made again, and a kill costs one block."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_runs import stop_after

from warmrl.domain.errors import Interrupted, StorageError
from warmrl.engine import recipe_file
from warmrl.engine.entries import Entries
from warmrl.engine.experiment import Experiment
from warmrl.engine.progress import Progress
from warmrl.engine.run_folder import RunFolder
from warmrl.engine.samples import missing

BASE = {
    "version": 1,
    "name": "answers",
    "stage": {},
    "model": {"path": "pocket:base"},
    "answer": {"use": "tags", "instruction": ""},
    "sampler": {"use": "transformers", "block_size": 4},
    "suite": {"charts": {"use": "pocket_charts", "split": "validation", "limit": 10}},
    "eval": {"metrics": ["accuracy", "pass@2"], "samples": 2, "max_tokens": 24},
}


class Drawn(Progress):
    """Blocks that were made, by what made them."""

    def __init__(self) -> None:
        self.blocks: list[str] = []

    def evaluating(self, checkpoint: str, suite: str, done: int, total: int) -> None:
        self.blocks.append(suite)


def run(home: Path, sets: Sequence[str] = (), calls: int = 10**6) -> tuple[list[str], dict[str, bytes]]:
    """Evaluate; what was made, and what a person reads."""
    path = home / "recipe.json"
    path.write_text(json.dumps(BASE))
    progress = Drawn()
    entries = Entries(recipe_file.read(path, sets), home / "store")
    Experiment(entries, RunFolder(home / "run"), progress, stop_after(calls)).run()
    read = {file.name: file.read_bytes() for file in (home / "run" / "evaluations" / "base.charts").iterdir()}
    return progress.blocks, read


def files(home: Path) -> dict[str, bytes]:
    """Every file of the store, with its bytes."""
    kept = (home / "store").rglob("*-*")
    return {str(one.relative_to(home)): one.read_bytes() for one in kept if one.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation that nothing disturbed."""
    home = tmp_path_factory.mktemp("whole")
    made, _ = run(home)
    for kind in ("greedy", "sampled"):  # three blocks, each judged by two graders
        assert made.count(f"charts ({kind})") == 3 and made.count(f"charts ({kind}, graded)") == 6
    return home


ADDITIONS = {
    "a metric of the same samples": (["eval.metrics=['accuracy','pass@2','diversity@2','entropy']"], set()),
    "fewer samples": (["eval.samples=1", "eval.metrics=['pass@1']"], set()),
    "more samples": (["eval.samples=5"], {"charts (sampled)", "charts (sampled, graded)"}),
    "another grader": (["grader.use=format"], {"charts (greedy, graded)", "charts (sampled, graded)"}),
    "fewer problems": (["suite.charts.limit=3"], set()),
    "more problems": (
        ["suite.charts.limit=13"],
        {f"charts ({kind}{what})" for kind in ("greedy", "sampled") for what in ("", ", graded")},
    ),
}


@pytest.mark.parametrize("what", ADDITIONS)
def test_only_what_is_missing_is_made(what: str, whole: Path) -> None:
    sets, expected = ADDITIONS[what]
    before = files(whole)
    made, _ = run(whole, sets)
    assert set(made) == expected
    after = files(whole)
    assert {name: after[name] for name in before} == before
    assert run(whole, sets)[0] == []


def test_more_samples_keep_the_first_ones(whole: Path) -> None:
    _, few = run(whole)
    _, many = run(whole, ["eval.samples=5"])
    first = [line for line in many["samples.jsonl"].splitlines() if json.loads(line)["index"] < 2]
    assert first == few["samples.jsonl"].splitlines()
    assert run(whole)[1] == few


@pytest.mark.slow
def test_killed_five_times(whole: Path, tmp_path: Path) -> None:
    """Stopped after every second block or so; finished blocks stay as they are, and the end is the same."""
    _, expected = run(whole)
    kept: dict[str, bytes] = {}
    for _ in range(5):
        with pytest.raises(Interrupted):
            run(tmp_path, calls=2)
        now = files(tmp_path)
        assert {name: now[name] for name in kept} == kept and len(now) > len(kept)
        kept = now
    made, found = run(tmp_path)
    assert made and found == expected


def test_a_block_that_was_lost_is_made_again(tmp_path: Path) -> None:
    """The first two samples of some problems are gone, and the later ones stay."""
    _, expected = run(tmp_path, ["eval.samples=4"])
    block = next(one for one in (tmp_path / "store").glob("*/block-*.jsonl") if one.read_text().count("\n") == 16)
    content = block.read_bytes()
    block.unlink()
    made, found = run(tmp_path, ["eval.samples=4"])
    assert made.count("charts (sampled)") == 1 and found == expected and block.read_bytes() == content
    block.write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        run(tmp_path, ["eval.samples=4"])


def test_another_question_is_asked_again(whole: Path) -> None:
    file = recipe_file.read(whole / "recipe.json", ["answer.instruction=Think."])
    entries = Entries(file, whole / "store")
    assert len(missing(entries.draws("base", "charts")[0], entries.suite("charts"))) == 3


def test_rows_say_what_they_are(whole: Path) -> None:
    _, read = run(whole)
    rows = [json.loads(line) for line in read["samples.jsonl"].splitlines()]
    assert len(rows) == 10 * 3
    assert len({(row["problem"], row["sampling"], row["index"]) for row in rows}) == len(rows)
    assert rows[0].keys() >= {"suite", "completion", "extracted", "canonical", "verdict", "parts", "finish", "tokens"}
    blocks = json.loads(read["sampling.json"])
    assert {row["sampling"] for row in rows} == blocks.keys()
    assert {one["temperature"] for one in blocks.values()} == {0.0, 1.0}
    assert all(one["chat_template"] and one["versions"]["torch"] for one in blocks.values())
