"""`pocket_mixed`: every kind of problem, sayable in the pocket's words, and the script that rates its readings."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import Home
from warmrl_pocket.build import build_tokenizer
from warmrl_pocket.config import PocketMixedConfig, PocketScorerConfig
from warmrl_pocket.geometry import KINDS as GEOMETRY
from warmrl_pocket.kinds import SPLITS
from warmrl_pocket.mixed import FAMILIES, PocketMixed
from warmrl_pocket.scorer import PocketScorer

from warmrl.api import Problem
from warmrl.engine.grading import open_reward
from warmrl.plugin.registry import Registry

REGISTRY = Registry.installed()
RECIPES = Path(__file__).parents[2] / "recipes"


def some(split: str = "train", size: int = 600, **settings: Any) -> list[Problem]:
    return list(PocketMixed(PocketMixedConfig(split=split, size=size, **settings)).problems())


def test_every_kind_is_as_likely_and_can_be_had_alone() -> None:
    counts = Counter(one.kind for one in some())
    assert set(counts) == set(FAMILIES) == {"digit", "choice", "math", "iou", "open"}
    assert min(counts.values()) > 80
    assert {one.kind for one in some(size=20, kinds=("iou", "open"))} == {"iou", "open"}


def test_an_id_stands_for_one_problem_whatever_kinds_are_asked_for() -> None:
    asked = [(), ("iou",), ("open",), ("iou", "open"), ("digit", "choice", "math", "iou", "open")]
    found = [{one.id: one for one in some(size=20, kinds=kinds)} for kinds in asked]
    assert found[0] == found[-1]
    assert len({name for one in found for name in one}) == 4 * 20
    for problems in found:
        assert all(image.key == name for name, one in problems.items() for image in one.images)


def test_splits_share_no_combination_across_kinds() -> None:
    clusters = {split: {one.cluster for one in some(split)} for split in SPLITS}
    assert not clusters["train"] & (clusters["validation"] | clusters["test"])
    assert not clusters["validation"] & clusters["test"]
    for family in FAMILIES.values():
        assert all(all(kind.splits.values()) for kind in family.kinds)
    assert FAMILIES["choice"].kinds == FAMILIES["math"].kinds == tuple(GEOMETRY.values())


def test_everything_can_be_said_in_the_pockets_words() -> None:
    tokenizer = build_tokenizer()
    for problem in (*some(), *some("test", 100)):
        for text in (problem.messages[0].parts[1].text, problem.solution, problem.gold):
            ids = tokenizer.encode(text, add_special_tokens=False)
            assert tokenizer.decode(ids) == text and tokenizer.unk_token_id not in ids and len(ids) < 32


def test_solutions_are_right_and_references_can_be_bettered(tmp_path: Path) -> None:
    """Under the reward of `vlaa.toml`, graded as there: the solution of every kind is right, another one's is not."""
    scorer = {"use": "open_ended", "scorer": {"use": "pocket_scorer"}, "right_from": 0.6}
    style = REGISTRY.instance(REGISTRY.choose("answer style", {"use": "tags"}, {"registry": REGISTRY}))
    choice = REGISTRY.choose("reward", {"use": "mixed", "by_kind": {"open": scorer}}, {"registry": REGISTRY})
    reward = open_reward(choice, style, REGISTRY, tmp_path)
    problems = some(size=300)
    for problem in problems:
        right, gold, nothing = reward.grade(problem, [problem.solution, style.wrap("", problem.gold), problem.gold])
        assert right.verdict == "right" and (right.score == 1.0 or problem.kind == "open")
        assert gold.score == (0.0 if problem.kind == "open" else 1.0)
        assert nothing.verdict == "no answer"
    others = [reward.score(a, [b.solution])[0] for a, b in pairwise(problems)]
    assert np.mean(others) < 0.15
    reward.close()


@pytest.mark.parametrize(
    ("answer", "rate"),
    [("7", 10 / 3), ("7 and 8 and 9", 10.0), ("9 8 7", 10.0), ("7 and 7", 0.0), ("7 and 8 and 9 and 4", 20 / 3),
     ("1 and 2 and 3 and 4", -10.0), ("", 0.0), ("a dog", 0.0)],
)  # fmt: skip
def test_the_script_rates(answer: str, rate: float) -> None:
    scorer = PocketScorer(PocketScorerConfig(), None)
    problem = Problem("p", (), "7", kind="open", extra={"shown": ["7", "8", "9"]})
    assert scorer.rate(problem, [answer]) == [pytest.approx(rate)]
    assert scorer.rate(Problem("p", (), "7"), ["7"]) == [10.0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vlaa", "vlaa_after_sft"])
def test_the_recipe_runs_small(name: str, tmp_path: Path) -> None:
    suites = ("validation", "counts", "choices", "geometry", "boxes", "readings", "charts")
    sets = [f"suite.{suite}.limit=2" for suite in suites]
    sets += ["stage.rl.steps=2", "eval.samples=2", "eval.metrics=['accuracy']", "stage.rl.prompts_per_step=6"]
    sets += ["stage.warm.steps=2"] if "after" in name else []
    home = Home(tmp_path, RECIPES / f"{name}.toml")
    experiment = home.run(sets)
    assert experiment.done[-1] == "rl"
