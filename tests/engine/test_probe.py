"""One probe set at every point of a run: which points, what is refused and shared, and that a kill costs a block."""

from __future__ import annotations

import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import RECIPE, Home, stop_after

from warmrl.domain.errors import Interrupted, RecipeError
from warmrl.domain.recipe import ProbeTable
from warmrl.engine import recipe_file
from warmrl.engine.entries import Entries
from warmrl.engine.forecast.machines import machine
from warmrl.engine.forecast.resources import Resources
from warmrl.engine.policy import Policy, Prompts
from warmrl.engine.preview import probe_preview
from warmrl.engine.progress import Progress
from warmrl.engine.workshop import Workshop

PROBE = "probe={on='probe', points=2, metrics=['entropy', 'pass@1'], samples=2}"
# The warm start's steps follow from its epochs; the probe's problems are the first of a suite.
SMALL = [
    "stage.warm={use='sft', data='warmup', steps=0, prompts_per_step=4, learning_rate=0.001}",
    "data.warmup.limit=12", "data.train.limit=40",
    "stage.rl.steps=2", "stage.rl.updates_per_rollout=1", "stage.rl.reference_kl=0.0", "suite.validation.limit=6",
    "suite.charts.limit=1", "data.probe={use='pocket_geometry', split='validation', limit=5}", "eval.at=['rl']",
    "eval.metrics=['pass@1', 'entropy']", "eval.bootstrap=200", "eval.samples=3",
]  # fmt: skip
POINTS = ["base", "warm@2", "warm", "rl@1", "rl"]


def entries(store: Path, *sets: str) -> Entries:
    """The small recipe's results, with a probe."""
    return Entries(recipe_file.read(RECIPE, [*SMALL, PROBE, *sets]), store)


def done(found: Entries, stage: str, **record: int) -> None:
    """Pretend that a stage is done."""
    folder = found.stage_folder(stage)
    folder.mkdir(parents=True)
    (folder / "done.json").write_text(json.dumps(record))


def test_points_are_evenly_spaced_and_end_with_the_stage() -> None:
    steps = {points: ProbeTable(on="x", points=points).steps for points in (1, 2, 4, 9)}
    assert steps[9](180) == list(range(20, 181, 20))
    assert steps[4](10) == [3, 5, 8, 10]
    assert steps[2](3) == [2, 3]
    assert steps[1](7) == [7]
    assert steps[9](3) == [1, 2, 3]
    assert steps[9](0) == []
    for total in range(1, 40):
        for points, found in steps.items():
            assert found(total) == sorted(set(found(total))) and found(total)[-1] == total and found(total)[0] >= 1
            assert len(found(total)) == min(points, total)


WRONG = {
    "{on='nowhere'}": "`probe.on` is `nowhere`, which is no `[suite.*]` table",
    "{on='train'}": "`probe.on` is `train`, which `stage.rl` trains on; give problems that are held out",
    "{on='probe', metrics=['pass@8']}": "`probe.metrics[0]` is `pass@8`, but `probe.samples` is 4",
    "{on='probe', metrics=['entropy', 'pass']}": "`probe.metrics[1]` is `pass`: it speaks of k samples; write `pass@k`",
    "{on='probe', metrics=['entropic']}": "`probe.metrics[0]` is `entropic`",
    "{on='probe', points=0}": "probe.points",
    "{on='probe', metrics=[]}": "probe.metrics",
    "{points=3}": "probe.on",
}


@pytest.mark.parametrize("table", WRONG)
def test_a_probe_that_cannot_be_is_refused(table: str) -> None:
    with pytest.raises(RecipeError) as error:
        recipe_file.read(RECIPE, [*SMALL, f"probe={table}"])
    assert WRONG[table] in str(error.value)


def test_several_samples_at_temperature_zero_say_nothing() -> None:
    cold = ["eval.temperature=0.0", "eval.samples=1", "eval.metrics=['accuracy']"]
    with pytest.raises(RecipeError, match=r"`eval\.temperature` is 0 with `probe\.samples` 2"):
        recipe_file.read(RECIPE, [*SMALL, PROBE, *cold])


def test_steps_that_follow_from_epochs_are_known_once_they_are(tmp_path: Path) -> None:
    found = entries(tmp_path)
    assert found.probes() == ["base", "warm", "rl@1", "rl"] and found.kept_steps("warm") == []
    assert found.probes({"warm": 3}) == POINTS and found.kept_steps("warm", 3) == [2]
    done(found, "warm", steps=3, planned=3)
    assert found.probes() == POINTS and found.kept_steps("warm") == [2]


def test_a_stage_that_stopped_early_has_the_points_it_came_by(tmp_path: Path) -> None:
    found = entries(tmp_path, "probe.points=4")
    done(found, "warm", steps=5, planned=8)
    assert found.probes()[1:4] == ["warm@2", "warm@4", "warm"], "of 2, 4, 6 and 8"


def test_a_probe_is_no_part_of_a_key_and_is_missed_where_policies_are_gone(tmp_path: Path) -> None:
    found = entries(tmp_path)
    plain = Entries(recipe_file.read(RECIPE, SMALL), tmp_path)
    assert plain.probes() == [] and plain.kept_steps("rl") == []
    assert [found.stage_key(stage) for stage in ("warm", "rl")] == [plain.stage_key(stage) for stage in ("warm", "rl")]


def test_a_warm_start_that_trains_nothing_gives_the_answers_of_its_policy(tmp_path: Path) -> None:
    found = entries(tmp_path, "stage.warm={use='none', data='warmup'}")
    assert found.probes() == ["base", "warm", "rl@1", "rl"] and found.kept_steps("warm") == []
    assert found.draws("warm", "probe") == found.draws("base", "probe") != found.draws("rl", "probe")


def test_a_rule_that_chooses_adds_the_end(tmp_path: Path) -> None:
    rule = "stage.warm={use='sft', data='warmup', steps=4, prompts_per_step=4, handoff={by='loss', on='probe', at=[1]}}"
    found = entries(tmp_path, rule)
    assert found.probes()[:4] == ["base", "warm@2", "warm@end", "warm"] and found.kept_steps("warm") == [1, 2]


def test_a_plan_names_the_points_and_counts_what_no_evaluation_draws(tmp_path: Path) -> None:
    found = entries(tmp_path)
    rows = [(one["checkpoint"], one["answers"], one["why"]) for one in probe_preview(found)]
    expected = [("base", 10, "1 point"), ("warm", 10, "1 point"), ("rl", 20, "2 points")]
    assert rows == [(stage, answers, f"runs, probe, {count}") for stage, answers, count in expected]
    asked = Resources(found, machine("cpu", 1), measure=False).asked()["probe (probe)"]
    assert list(asked.checkpoints) == POINTS[:-1], "the suite's answers of `rl` serve; steps of epochs are estimated"
    whole = entries(tmp_path, "probe.samples=4")
    assert list(Resources(whole, machine("cpu", 1), measure=False).asked()["probe (probe)"].checkpoints) == POINTS


class Drawn(Progress):
    """Blocks that were drawn, with who gave them."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, str]] = []

    def evaluating(self, checkpoint: str, suite: str, done: int, total: int) -> None:
        self.blocks += [(checkpoint, suite)] if suite.endswith("(sampled)") else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Drawn, list[tuple[Path, int]]]:
    """A run with a probe; what was drawn; the policies that were loaded to be measured, with how many were held."""
    home, drawn = Home(tmp_path_factory.mktemp("probe")), Drawn()
    loaded, held = Workshop.load, list[Any]()
    loads: list[tuple[Path, int]] = []

    def load(self: Workshop, source: Any, trained: bool) -> Policy:
        if not trained:
            loads.append((Path(source.path), sum(one() is not None for one in held)))
        policy = loaded(self, source, trained)
        held.append(weakref.ref(policy.model))
        return policy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workshop, "load", load)
        home.run([*SMALL, PROBE], progress=drawn)
    return home, drawn, loads


def files(home: Home) -> dict[str, bytes]:
    """What the probe says, and every answer."""
    found = [*home.path.glob("run/probes/*.json"), *home.path.glob("store/samples-*/*.jsonl")]
    return {str(one.relative_to(home.path)): one.read_bytes() for one in found}


@pytest.mark.slow
def test_every_point_is_measured_and_nothing_is_drawn_twice(whole: tuple[Home, Drawn, Any]) -> None:
    home, drawn, _ = whole
    kept = {one.stem: json.loads(one.read_text()) for one in home.path.glob("run/probes/*.json")}
    steps = {"base": 0, "warm@2": 2, "warm": 3, "rl@1": 1, "rl": 2}
    assert {name: one["step"] for name, one in kept.items()} == steps and list(steps) == POINTS
    for name, one in kept.items():
        assert (one["checkpoint"], one["suite"], one["settings"]["samples"]) == (name, "probe", 2)
        assert len(one["problems"]) == 5 and all(0 < h < 4 for h in one["metrics"]["entropy"]["values"])
    evaluated = [("rl", suite) for suite in ("validation (sampled)", "validation (sampled)", "charts (sampled)")]
    blocks = [(name, "probe (sampled)") for name in POINTS[:-1] for _ in range(2)]
    assert drawn.blocks == [*blocks, *evaluated], "the suite's answers of `rl` are the probe's"
    scores = json.loads((home.path / "run/evaluations/rl.validation/scores.json").read_text())
    suite = dict(zip(scores["problems"], scores["metrics"]["pass@1"]["values"], strict=True))
    own = dict(zip(kept["rl"]["problems"], kept["rl"]["metrics"]["pass@1"]["values"], strict=True))
    assert own.keys() < suite.keys()
    assert all(round(2 * one) in (round(3 * suite[name]) - 1, round(3 * suite[name])) for name, one in own.items())


@pytest.mark.slow
def test_each_checkpoint_is_loaded_once_and_the_last_one_gone_by_then(whole: tuple[Home, Any, Any]) -> None:
    _, _, loads = whole
    assert len(loads) == len({path for path, _ in loads}) == len(POINTS)
    assert [held for _, held in loads] == [0] * len(POINTS)


@pytest.mark.slow
def test_the_report_has_it_and_pruning_spares_it(whole: tuple[Home, Any, Any]) -> None:
    home, _, _ = whole
    report = json.loads((home.path / "run/report.json").read_text())
    assert [one["checkpoint"] for one in report["probe"]["points"]] == POINTS
    assert [one["x"] for one in report["probe"]["points"]] == [0, 2, 3, 4, 5]
    known = {
        (home.path / "run" / one).resolve() for one in json.loads((home.path / "run/run.json").read_text())["entries"]
    }
    assert {one.resolve() for one in home.path.glob("store/*-*") if one.is_dir()} <= known


@pytest.mark.slow
def test_a_kill_costs_a_block_and_other_points_ask_for_their_policies(
    whole: tuple[Home, Any, Any], tmp_path: Path
) -> None:
    home = Home(tmp_path / "copy")
    shutil.copytree(whole[0].path, home.path, symlinks=True)
    expected = files(whole[0])
    assert home.run([*SMALL, PROBE]).done == [] and files(home) == expected
    found = entries(home.path / "store")
    (gone,) = (one.folder for one in found.draws("rl@1", "probe", ["entropy"], 2))
    shutil.rmtree(gone)
    with pytest.raises(Interrupted):
        home.run([*SMALL, PROBE], stop_after(1))
    assert len(list(gone.glob("block-*.jsonl"))) == 1, "of two"
    assert home.run([*SMALL, PROBE]).done == [] and files(home) == expected
    more = entries(home.path / "store", "probe.points=3")
    assert more.missing("rl", more.kept_steps("rl")) is None
    assert "its policy at step 1 is not in the store" in str(more.missing("warm", more.kept_steps("warm")))


def test_prompts_are_shared_by_checkpoints_of_one_processor(tmp_path: Path) -> None:
    policies = []
    for name, template in (("a", "x"), ("b", "x"), ("c", "y")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "chat_template.jinja").write_text(template)
        (folder / "config.json").write_text(name)
        policies.append(object.__new__(Policy))
        policies[-1].folder, policies[-1].prompts = folder, Prompts()
    first, second, third = policies
    second.take(*first.encoded())
    third.take(*first.encoded())
    assert second.prompts is first.prompts and third.prompts is not first.prompts
