"""A rule chooses the checkpoint that is handed on: which one, what depends on it, and what happens when none will."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import RECIPE, Home

from warmrl.domain.errors import DataError, Interrupted, RecipeError, UsageError, WarmrlError
from warmrl.domain.handoff import HandoffTable
from warmrl.engine import export, recipe_file, targets
from warmrl.engine.checkpoints import find, folder_source, key_in_run
from warmrl.engine.entries import Entries
from warmrl.engine.handoff import candidates, choice
from warmrl.plugin.registry import Registry
from warmrl.report.build import build

BETTER = {"pass@2": True, "accuracy": True, "entropy": None, "truncated": False, "loss": False}
# A warm start that gets worse with every step, and a choice by held-out problems that nothing else looks at.
SMALL = [
    "stage.warm={use='sft', data='warmup', steps=3, prompts_per_step=4, learning_rate=0.003, warmup=0.9}",
    "data.warmup.limit=40", "data.train.limit=40",
    "stage.rl.steps=1", "stage.rl.updates_per_rollout=1", "stage.rl.reference_kl=0.0", "suite.validation.limit=4",
    "suite.charts.limit=1", "data.held={use='pocket_geometry', split='test', limit=6}", "eval.at=['warm', 'rl']",
    "eval.metrics=['accuracy', 'entropy']", "eval.bootstrap=200", "eval.samples=2",
]  # fmt: skip


def ruled(floor: str = "", on: str = "held", by: str = "loss") -> list[str]:
    """The small recipe with a rule."""
    more = f", floor={floor}" if floor else ""
    return [*SMALL, f"stage.warm.handoff={{by='{by}', on='{on}', at=[1, 2], samples=2{more}}}"]


def chosen(by: str, values: dict[str, list[float | None]], **more: Any) -> str | None:
    """What a rule chooses of candidates with these values, each the mean over two problems."""
    rule = HandoffTable(by=by, on="held", at=[1, 2], **more)
    names = {"warm@1": 1, "warm@2": 2, "warm@end": 3}
    evaluations = [
        {
            "checkpoint": name,
            "problems": ["a", "b"],
            "metrics": {
                metric: {
                    "values": [None, None] if row[place] is None else [row[place] - 0.1, row[place] + 0.3],  # type: ignore[operator]
                    "weights": [3.0, 1.0],
                    "higher_is_better": BETTER[metric],
                }
                for metric, row in values.items()
            },
        }
        for place, name in enumerate(names)
    ]
    found = choice("warm", rule, names, evaluations)
    for one, place in zip(found["candidates"], range(3), strict=True):
        assert one["values"][by] == (None if values[by][place] is None else pytest.approx(values[by][place]))
    return found["chosen"]


def test_the_best_is_chosen() -> None:
    assert chosen("pass@2", {"pass@2": [0.2, 0.5, 0.4]}) == "warm@2"
    assert chosen("accuracy", {"accuracy": [0.6, 0.5, 0.4]}) == "warm@1"
    assert chosen("accuracy", {"accuracy": [0.1, 0.2, 0.3]}) == "warm@end"
    assert chosen("loss", {"loss": [0.9, 0.3, 0.7]}) == "warm@2"
    assert chosen("truncated", {"truncated": [0.1, 0.2, 0.3]}) == "warm@1"


def test_of_equals_the_earliest_and_never_one_without_a_value() -> None:
    assert chosen("pass@2", {"pass@2": [0.3, 0.5, 0.5]}) == "warm@2"
    assert chosen("pass@2", {"pass@2": [0.3, None, 0.2]}) == "warm@1"
    assert chosen("pass@2", {"pass@2": [None, None, None]}) is None


def test_a_floor_leaves_out_and_may_leave_none() -> None:
    both: dict[str, list[float | None]] = {"pass@2": [0.4, 0.2, 0.5], "entropy": [0.5, 0.2, 0.1]}
    assert chosen("pass@2", both, floor={"entropy": 0.15}) == "warm@1"
    assert chosen("pass@2", both, floor={"entropy": 0.15, "pass@2": 0.45}) is None
    assert chosen("pass@2", both, floor=0.6) is None
    assert chosen("loss", {"loss": [0.9, 0.3, 0.7]}, floor=0.2) is None, "of a loss it is the most"
    assert chosen("loss", {"loss": [0.9, 0.3, 0.7], "pass@2": [0.5, 0.1, 0.5]}, floor={"pass@2": 0.4}) == "warm@end"


def test_where_neither_direction_is_better_the_last_that_meets_the_floor() -> None:
    assert chosen("entropy", {"entropy": [0.5, 0.3, 0.1]}, floor=0.25) == "warm@2"
    assert chosen("entropy", {"entropy": [0.5, 0.3, 0.4]}, floor=0.25) == "warm@end"


WRONG = {
    "{by='pass@4', on='nowhere', at=[1]}": "`stage.warm.handoff.on` is `nowhere`, which is no",
    "{by='pass@4', on='warmup', at=[1]}": "which `stage.warm` trains on",
    "{by='pass@4', on='held', at=[1, 9]}": "has step 9, but the stage has 3 steps",
    "{by='pass@4', on='held', at=[0]}": "has step 0, but steps count from 1",
    "{by='pass@32', on='held', at=[1]}": "`stage.warm.handoff.samples` is 16: it is undefined for fewer than 32",
    "{by='pass', on='held', at=[1]}": "write `pass@k`",
    "{by='entropy', on='held', at=[1]}": "neither more nor less is better",
    "{by='pass@4', on='held', at=[1], floor={accurate=0.5}}": "`stage.warm.handoff.floor` is `accurate`",
    "{by='pass@4', on='held'}": "it chooses nothing",
    "{by='pass@4', on='held', every=3}": "it chooses nothing",
    "{by='pass@4', at=[1]}": "stage.warm.handoff.on",
}


@pytest.mark.parametrize("rule", WRONG)
def test_a_rule_that_cannot_choose_is_refused(rule: str) -> None:
    with pytest.raises(RecipeError) as error:
        recipe_file.read(RECIPE, [*SMALL, f"stage.warm.handoff={rule}"])
    assert WRONG[rule] in str(error.value)


def test_candidates_are_steps_and_always_the_end(tmp_path: Path) -> None:
    rule = "stage.warm.handoff={by='pass@4', on='held', every=2, at=[1, 3, 5], samples=4}"
    file = recipe_file.read(RECIPE, [*SMALL, "stage.warm.steps=5", rule])
    entries = Entries(file, tmp_path)
    assert candidates(entries, "warm") == {"warm@1": 1, "warm@2": 2, "warm@3": 3, "warm@4": 4, "warm@end": 5}
    assert entries.kept_steps("warm") == [1, 2, 3, 4]


def test_the_loss_of_answers_that_are_not_there_is_refused(tmp_path: Path) -> None:
    problems = tmp_path / "held.jsonl"
    problems.write_text('{"question": "1 + 1?", "answer": "2"}\n')
    held = f"data.held={{use='files', path='{problems}'}}"
    with pytest.raises(DataError, match=r"`held`, and 1 of its 1 problems have none"):
        Entries(recipe_file.read(RECIPE, [*ruled(), held]), tmp_path / "store").folders()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A run whose floor no candidate meets."""
    home = Home(tmp_path_factory.mktemp("handoff"))
    with pytest.raises(WarmrlError, match=r"Stage `warm` hands nothing on.*`loss` at most 0.*warm@1: loss \d") as error:
        home.run(ruled(floor="0.0"))
    assert error.value.exit_code == 1 and "handoff.floor" in str(error.value)
    return home


@pytest.fixture(scope="module")
def home(stopped: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same with a floor that is met."""
    copy = Home(tmp_path_factory.mktemp("home") / "copy")
    shutil.copytree(stopped.path, copy.path, symlinks=True)
    made = copy.run(ruled(floor="99.0"))
    assert (made.done, made.reused) == (["rl"], ["warm"]), "a floor is lowered without training again"
    return copy


def test_a_floor_that_is_not_met_stops_before_the_next_stage(stopped: Home) -> None:
    state = json.loads((stopped.path / "run/run.json").read_text())
    assert (state["state"], list(state["stages"])) == ("stopped", ["warm"])
    assert not list(stopped.path.glob("store/*/key.json"))[1:], "only the warm start was made"
    report = json.loads((stopped.path / "run/report.json").read_text())
    (found,) = report["handoff"]
    assert found["chosen"] is None and len(found["candidates"]) == 3 and "hands nothing on" in report["findings"][0]
    assert "below the floor" in (stopped.path / "run/report.md").read_text()
    with pytest.raises(UsageError, match=r"has chosen no checkpoint; name its last one, `.*run#warm@end`"):
        find(f"{stopped.path / 'run'}#warm", None, Registry.installed())


def test_what_comes_after_starts_from_the_chosen_step(home: Home) -> None:
    record = json.loads((home.path / "run/handoffs/warm/handoff.json").read_text())
    losses = [one["values"]["loss"] for one in record["candidates"]]
    assert losses == sorted(losses) and losses[0] < losses[-1], "the warm start gets worse, as it is meant to"
    assert record["chosen"] == "warm@1"
    entries = Entries(recipe_file.read(RECIPE, ruled(floor="99.0")), home.path / "store")
    plain = Entries(recipe_file.read(RECIPE, [*SMALL, "stage.rl.policy='warm@1'"]), home.path / "store")
    assert entries.stage_key("rl") == plain.stage_key("rl") and entries.missing("rl") is None
    assert entries.draws("warm", "validation") == plain.draws("warm@1", "validation")
    assert entries.policy_source("warm") == plain.policy_source("warm@1") != plain.policy_source("warm")
    assert entries.policy_source("warm@end") == plain.policy_source("warm")


def test_the_report_has_the_chosen_and_the_rejected(home: Home) -> None:
    report = json.loads((home.path / "run/report.json").read_text())
    (found,) = report["handoff"]
    assert (found["chosen"], found["rejected"], found["reported"]) == ("warm@1", ["warm@2", "warm@end"], False)
    assert all(row["low"] <= row["value"] <= row["high"] for one in found["candidates"] for row in one["scores"])
    assert report["findings"][0].startswith("Stage `warm` hands on warm@1")
    assert not any("optimistic" in one for one in report["findings"])
    assert {one["name"]: one["x"] for one in report["checkpoints"]} == {"warm": 1, "rl": 2}
    page = (home.path / "run/report.html").read_text()
    assert "What warm hands on" in page and "handed on" in page


def test_the_same_again_is_reused_and_a_rule_that_agrees_shares_what_follows(home: Home) -> None:
    before = {file: file.stat().st_mtime_ns for file in home.path.glob("store/samples-*/*")}
    again = home.run(ruled(floor="99.0"))
    assert [again.handed_on(stage) for stage in again.trained()] == ["policies/step-000001", "policy"]
    assert (again.done, again.reused) == ([], ["warm", "rl"])
    other = home.run(ruled(floor="{ loss = 98.0 }"))
    assert other.done == []
    assert {file: file.stat().st_mtime_ns for file in home.path.glob("store/samples-*/*")} == before


def test_other_commands_take_the_chosen_one(home: Home, tmp_path: Path) -> None:
    run, registry = home.path / "run", Registry.installed()
    entry = run / "stages/warm"
    for name, folder in {
        "warm": "policies/step-000001",
        "warm@end": "policy",
        "warm@2": "policies/step-000002",
    }.items():
        source = find(f"{run}#{name}", None, registry)
        assert source.fingerprint == folder_source(entry / folder).fingerprint
    assert key_in_run(f"{run}#warm") == key_in_run(f"{run}#warm@1") != key_in_run(f"{run}#warm@end")
    made = export.export_policy(f"{run}#warm", tmp_path / "out", merge=False, dtype=None).folder
    assert (made / "model.safetensors").read_bytes() == (entry / "policies/step-000001/model.safetensors").read_bytes()
    (target,) = targets.targets_of([f"{run}#warm"], targets.protocol(None, [f"{run}#warm"], [], [], []))
    own = Entries(recipe_file.read(RECIPE, ruled(floor="99.0")), home.path / "store")
    asked = Entries(target.file, home.path / "store")
    assert asked.draws("base", "validation") == own.draws("warm", "validation"), "`warmrl eval RUN#warm` draws nothing"


@pytest.mark.slow
def test_a_kill_between_candidates_loses_nothing(stopped: Home, home: Home, tmp_path: Path) -> None:
    rule = ruled(on="validation", by="accuracy")
    ends = []
    for name in ("through", "killed"):
        copy = Home(tmp_path / name)
        shutil.copytree(stopped.path / "store", copy.path / "store", symlinks=True)
        here = copy.path / "store"
        if name == "killed":
            with pytest.raises(Interrupted):
                copy.run(rule, stopping=lambda: 15 * (len(list(here.glob("samples-*/block-*"))) >= 2))  # noqa: B023
            first = {file: file.read_bytes() for file in here.glob("samples-*/block-*")}
            assert not (copy.path / "run/handoffs").exists()
        made = copy.run([*rule, "stage.rl.steps=1"])
        assert made.reused == ["warm"]
        ends.append((copy.path / "run/handoffs/warm/handoff.json").read_bytes())
    assert ends[0] == ends[1] and all(file.read_bytes() == content for file, content in first.items())
    findings = json.loads((copy.path / "run/report.json").read_text())["findings"]
    assert any("is the best of 3 on the same problems, so it is optimistic" in one for one in findings)


def test_a_report_tells_candidates_apart_only_where_it_can() -> None:
    problems = [str(number) for number in range(60)]

    def evaluation(name: str, right: int) -> dict[str, Any]:
        values = [float(number < right) for number in range(60)]
        metric = {"values": values, "weights": [1.0] * 60, "unit": "share", "higher_is_better": True}
        return {"checkpoint": name, "suite": "held", "problems": problems, "metrics": {"accuracy": metric}}

    rule = HandoffTable(by="accuracy", on="held", at=[1, 2])
    names = {"warm@1": 1, "warm@2": 2, "warm@end": 3}
    evaluations = [evaluation("warm@1", 10), evaluation("warm@2", 45), evaluation("warm@end", 44)]
    record = choice("warm", rule, names, evaluations) | {"evaluations": evaluations}
    table = {"name": "x", "seed": 0, "recipe": {}, "environment": {}, "stages": [], "evaluations": []}
    report = build(table | {"handoff": [record]})
    assert report["handoff"][0]["beside"] == ["warm@end"]
    assert "1 of the 2 others can't be told apart from it: warm@end." in report["findings"][0]
