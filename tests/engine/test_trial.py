"""What `plan` says of rewards and graders that it tries on real rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from warmrl.engine import recipe_file
from warmrl.engine.entries import Entries
from warmrl.engine.trial import corrupted, try_rewards

ROWS = [("one", "3"), ("two", "\\sqrt{8}"), ("three", "45^\\circ")]
RECIPE = """
version = 1
name = "tried"
model = {{ path = "pocket:base" }}
answer = {{ use = "boxed" }}
data.train = {{ use = "files", path = "{path}" }}
suite.test = {{ use = "files", path = "{path}" }}
stage.rl = {{ use = "grpo", steps = 1, prompts_per_step = 1, policy = "base" }}
"""


def findings(folder: Path, *sets: str, rows: list[tuple[str, str]] = ROWS) -> list[str]:
    data, recipe = folder / "rows.jsonl", folder / "recipe.toml"
    data.write_text("".join(json.dumps({"id": name, "question": "?", "answer": gold}) + "\n" for name, gold in rows))
    recipe.write_text(RECIPE.format(path=data))
    return try_rewards(Entries(recipe_file.read(recipe, sets), folder / "store"))


def test_rewards_and_graders_that_are_right(tmp_path: Path) -> None:
    (said,) = findings(tmp_path, "reward.math.use=math", "reward.format.use=format", "reward.format.weight=0.1")
    assert said.startswith("`format`, `geo3k_easyr1`, `math`: tried on 6 problems; gold is right")


def test_a_reward_whose_gold_is_wrong_is_named_with_a_row(tmp_path: Path) -> None:
    said = findings(tmp_path, "reward.count.use=digit", rows=[*ROWS, ("four", "no number")])
    assert said == [
        "WARNING: The reward `count` on `data.train`: the gold answer 'no number' of `four` scores 0 of 1 "
        "(1 of 4 problems tried)."
    ]


def test_a_suite_has_its_own_grader_and_style(tmp_path: Path) -> None:
    said = findings(tmp_path, "suite.test.grader.use=iou", "suite.test.style.use=tags")
    assert len(said) == 1
    assert said[0].startswith("WARNING: The grader `iou` on `suite.test`: the gold answer '3' of `one` scores")
    assert "(3 of 3 problems tried)" in said[0]
    assert not findings(tmp_path, "suite.test.style.use=tags")[0].startswith("WARNING")


LENIENT = """
from warmrl.api import Register, Reward, RewardConfig, hookimpl

class Lenient(Reward[RewardConfig]):
    def score(self, problem, completions):
        return [float(problem.gold in text or not text) for text in completions]

@hookimpl
def warmrl_register_rewards(register: Register) -> None:
    register("lenient", config=RewardConfig, implementation="lenient:Lenient")
"""


def test_a_reward_that_is_fooled_is_named_with_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "lenient-1.0.dist-info").mkdir(parents=True)
    (site / "lenient-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lenient\nVersion: 1.0\n")
    (site / "lenient-1.0.dist-info" / "entry_points.txt").write_text("[warmrl]\nlenient = lenient\n")
    (site / "lenient.py").write_text(LENIENT)
    monkeypatch.syspath_prepend(str(site))
    said = findings(tmp_path, "reward.soft.use=lenient", rows=ROWS[:2])
    assert said == [
        "WARNING: The reward `soft` on `data.train`: an empty answer to `one` scores full (2 of 2 problems tried).",
        "WARNING: The reward `soft` on `data.train`: the wrong answer '39 or not' to `one` (gold '3') scores full "
        "(1 of 2 problems tried).",
    ]


def test_corrupted_answers() -> None:
    assert corrupted("3") == ["4", "39 or not"]
    assert corrupted("6\\sqrt{2}") == ["7\\sqrt{2}"]
    assert corrupted("[0, 0, 9, 9]") == ["[1, 0, 9, 9]"]
    assert corrupted("A)") == ["B)"] and corrupted("(C)") == ["(A)"]
    assert corrupted("yes") == ["yes9 or not"]
    assert corrupted("(x)") == ["(x) or not"]
