"""What a curator made: `warmrl runs show RUN#pairs`, and `warmrl export RUN#pairs` for TRL and for `files`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from tiny_runs import Home, stop_after
from typer.testing import CliRunner
from warmrl_datasets.config import FilesConfig
from warmrl_datasets.files import Files

from warmrl.cli import curated as shown
from warmrl.cli.main import app
from warmrl.domain.errors import Interrupted, UsageError
from warmrl.domain.problem import Message, Text
from warmrl.engine.curated import read_curated
from warmrl.engine.export_data import export_data
from warmrl.testing.run import write_recipe

PAIRS = {
    "use": "self_distill",
    "chosen_from": "base",
    "rejected_from": "both",
    "samples_per_prompt": 2,
    "max_tokens": 32,
}


def recipe(folder: Path) -> Path:
    """Pairs of the pocket's teacher, which is nearly always right, by itself; and one of them."""
    data = {"train": {"use": "pocket_geometry", "split": "train", "limit": 5}}
    tables = {"model": {"path": "pocket:teacher"}, "answer": {"use": "tags", "instruction": "read"}, "data": data}
    stages = {"pairs": PAIRS, "few": {"use": "perplexity", "data": "pairs", "keep": 1}}
    rest = {"suite": {}, "sampler": {"use": "transformers", "block_size": 2}, "stage": stages}
    return write_recipe(folder, **tables, **rest)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("curated")
    found = Home(folder, recipe(folder))
    found.run()
    return found


def made(home: Home) -> str:
    return (home.path / "run" / stored(home.path / "run")["pairs"]["store"] / "problems.jsonl").read_text()


def stored(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())["stages"]


@pytest.mark.slow
def test_stopped_it_goes_on_to_the_same_pairs(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path, home.recipe)
    for calls in (2, 3):  # in the pass over the chosen policy's answers, then in the one over the base's
        with pytest.raises(Interrupted, match="they are kept"):
            other.run(stopping=stop_after(calls))
    other.run()
    assert made(other) == made(home)
    assert not list(tmp_path.glob("store/*/blocks"))


def test_it_is_shown(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    target = f"{home.path / 'run'}#pairs"
    asked = CliRunner().invoke(app, ["runs", "show", target, "--json", "--examples", "2"])
    found = json.loads(asked.output)
    count = len(made(home).splitlines())
    assert found["problems"] == count > 2
    assert [one["step"] for one in found["funnel"]][:3] == ["finished", "right", "well-formed"]
    assert found["funnel"][0]["taken"] == 10
    assert found["funnel"][-1]["kept"] == sum(found["counts"]["rejected_from"].values()) == count
    assert found["counts"]["chosen_from"] == {"base": count}
    assert len(found["examples"]) == 2
    plain = CliRunner().invoke(app, ["runs", "show", target]).output
    assert f"chosen_from base: {count}\n" in plain
    assert f"rejected: {found['examples'][0]['rejected']}\n" in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    table = CliRunner().invoke(app, ["runs", "show", target]).output
    assert "┃" in table


def test_a_terminal_obeys_no_model() -> None:
    assert shown.visible("a\x1b[2Jb\nc") == "a\ufffd[2Jb\nc"


def test_it_is_exported_and_read_back(home: Home, tmp_path: Path) -> None:
    target = f"{home.path / 'run'}#pairs"
    problems = read_curated(target).problems
    assert CliRunner().invoke(app, ["export", target, "--to", str(tmp_path / "out")]).exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines()]
    for row, problem in zip(rows, problems, strict=True):
        question = problem.messages[0].parts[1].text
        asked = [{"type": "image"}, {"type": "text", "text": question}, {"type": "text", "text": "\nread"}]
        assert row["prompt"] == [{"role": "user", "content": asked}]
        for side, text in (("chosen", problem.solution), ("rejected", problem.rejected)):
            assert row[side] == [{"role": "assistant", "content": [{"type": "text", "text": text}]}]
        (name,) = row["images"]
        picture = PIL.Image.open(tmp_path / "out" / name)
        assert picture.tobytes() == problem.images[0].load().convert("RGB").tobytes()
    again = Files(FilesConfig(path=str(tmp_path / "out"), question="question")).problems()
    told = [(one.id, one.solution, one.rejected, one.gold) for one in problems]
    assert [(one.id, one.solution, one.rejected, one.gold) for one in again] == told
    assert [one.messages[0].parts[1] for one in again] == [one.messages[0].parts[1] for one in problems]


@pytest.mark.slow
def test_what_trl_needs_of_it(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as the folder's README says, TRL fills the images into the prompt."""
    datasets = pytest.importorskip("datasets")
    from trl.data_utils import prepare_multimodal_messages

    export_data(f"{home.path / 'run'}#pairs", tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    data = datasets.load_dataset("json", data_files="train.jsonl", split="train", cache_dir=str(tmp_path / "cache"))
    row = data.cast_column("images", datasets.List(datasets.Image()))[0]
    (message,) = prepare_multimodal_messages(row["prompt"], images=row["images"])
    assert message["content"][0]["image"].size == (96, 96)
    assert row["chosen"][0]["content"][0]["text"].startswith("<think>")


def test_an_older_revisions_curators_are_read(home: Home, tmp_path: Path) -> None:
    """By the stores that the run names: today's keys are others. What is gone from them is said."""
    told = read_curated(f"{home.path / 'run'}#few").problems
    run = tmp_path / "run"
    shutil.copytree(home.path / "run", run, symlinks=True)
    known = json.loads((run / "run.json").read_text())
    for name, one in known["stages"].items():
        shutil.copytree(home.path / "run" / one["store"], tmp_path / "store" / f"old-{name}")
        one["store"] = f"../store/old-{name}"
    (run / "run.json").write_text(json.dumps(known))
    assert read_curated(f"{run}#few").problems == told
    (tmp_path / "store" / "old-pairs" / "problems.jsonl").unlink()
    with pytest.raises(UsageError, match=r"old-pairs/problems[.]jsonl is gone from the store"):
        read_curated(f"{run}#few")


def test_a_column_has_one_type(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where any problem has an image; and what no file can hold does not end an export."""
    found = read_curated(f"{home.path / 'run'}#pairs")
    plain = replace(found.problems[0], messages=(Message("user", (Text("2 + 2 ?"),)),), solution="4 \ud83d")
    mixed = replace(found, problems=[plain, found.problems[1]])
    monkeypatch.setattr("warmrl.engine.export_data.read_curated", lambda target: mixed)
    export_data("RUN#pairs", tmp_path / "out")
    first, second = (json.loads(line) for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines())
    assert first["prompt"][0]["content"] == [{"type": "text", "text": "2 + 2 ?"}, {"type": "text", "text": "\nread"}]
    assert (first["images"], len(second["images"])) == ([], 1)
    assert first["chosen"][0]["content"] == [{"type": "text", "text": "4 \ufffd"}]


@pytest.mark.parametrize(("name", "said"), [("nothing", "there are: pairs"), ("pairs/part", "there are: pairs")])
def test_what_no_curator_made_is_refused(home: Home, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_curated(f"{home.path / 'run'}#{name}")


def test_data_has_no_precision(home: Home, tmp_path: Path) -> None:
    target = f"{home.path / 'run'}#pairs"
    refused = CliRunner().invoke(app, ["export", target, "--to", str(tmp_path / "out"), "--merge"])
    assert isinstance(refused.exception, UsageError)
