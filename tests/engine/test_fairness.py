"""Differences between arms: planted ones are found by their TOML path, equal arms have none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from warmrl.domain.errors import RecipeError, UsageError
from warmrl.engine import study_file
from warmrl.engine.fairness import fairness, refuse_unexplained
from warmrl.engine.recipe_file import overlay, parse

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "recipes" / "study" / "stage1_pocket.toml"
WARM = {"use": "sft", "data": "warmup", "steps": 80, "prompts_per_step": 32, "learning_rate": 5e-4}
TEACHER = {"use": "local", "path": "pocket:teacher"}
OPD = {**WARM, "use": "opd", "teacher": TEACHER, "max_tokens": 32}

NONE = {"use": "none", "data": "warmup"}

# What an arm is given, and where it is found.
PLANTED: dict[str, tuple[dict[str, Any], str]] = {
    "learning rate of RL": ({"stage": {"rl": {"learning_rate": 3e-4}}}, "stage.rl.learning_rate"),
    "learning rate of the warm start": ({"stage": {"warm": {"learning_rate": 1e-4}}}, "stage.warm.learning_rate"),
    "instruction": ({"answer": {"instruction": "Think first."}}, "answer.instruction"),
    "answer style": ({"answer": {"use": "boxed", "instruction": ""}}, "answer.use"),
    "pixels": ({"model": {"max_pixels": 3136}}, "model.max_pixels"),
    "precision": ({"model": {"dtype": "bfloat16"}}, "model.dtype"),
    "base": ({"model": {"path": "pocket:teacher"}}, "model.path"),
    "seed of the data": ({"data": {"train": {"seed": 1}}}, "data.train.seed"),
    "data of RL": ({"data": {"train": {"limit": 2000}}}, "data.train.limit"),
    "other data of RL": ({"stage": {"rl": {"data": "warmup"}}}, "stage.rl.data"),
    "order of the data": ({"stage": {"rl": {"data": ["warmup", "train"]}}}, "stage.rl.data"),
    "data of the warm start": ({"data": {"warmup": {"limit": 300}}}, "data.warmup.limit"),
    "frozen parts": ({"stage": {"rl": {"train": ["language"]}}}, "stage.rl.train"),
    "frozen parts, warm": ({"stage": {"warm": {"train": ["language"]}}}, "stage.warm.train"),
    "adapters": ({"stage": {"warm": {"lora": {"rank": 8}}}}, "stage.warm.lora"),
    "rollout temperature": ({"stage": {"rl": {"temperature": 0.7}}}, "stage.rl.temperature"),
    "group size": ({"stage": {"rl": {"samples_per_prompt": 4}}}, "stage.rl.samples_per_prompt"),
    "divergence to the reference": ({"stage": {"rl": {"reference_kl": 0.01}}}, "stage.rl.reference_kl"),
    "steps of RL": ({"stage": {"rl": {"steps": 90}}}, "stage.rl.steps"),
    "schedule": ({"stage": {"warm": {"schedule": "cosine"}}}, "stage.warm.schedule"),
    "longest completion": ({"stage": {"rl": {"max_tokens": 24}}}, "stage.rl.max_tokens"),
    "reward": ({"reward": {"math": {"weight": 1.0}}}, "reward.math.weight"),
    "a reward less": ({"reward": {"format": False}}, "reward.format"),
    "sampler": ({"sampler": {"block_size": 32}}, "sampler.block_size"),
    "samples of an evaluation": ({"eval": {"samples": 17}}, "eval.samples"),
    "temperature of an evaluation": ({"eval": {"temperature": 0.6}}, "eval.temperature"),
    "checkpoints that are evaluated": ({"eval": {"at": ["warm", "rl"]}}, "eval.at"),
    "suite": ({"suite": {"charts": {"limit": 100}}}, "suite.charts.limit"),
    "grader of a suite": ({"suite": {"charts": {"grader": {"use": "digit"}}}}, "suite.charts.grader"),
    "grader": ({"grader": {"use": "digit"}}, "grader.use"),
    "probe": ({"probe": {"samples": 2}}, "probe.samples"),
    "problems of the probe": ({"data": {"probe": {"limit": 50}}}, "data.probe.limit"),
    "budget": ({"stage": {"warm": {"steps": 90}}}, "match"),
}


def study(**arms: dict[str, Any]) -> study_file.StudyFile:
    """A study of the pocket with these arms over supervised fine-tuning; the control is `a`."""
    base = overlay(parse(ROOT / "recipes" / "base" / "pocket.toml")[1], {
        "stage": {"warm": WARM},
        "data": {"probe": {"use": "pocket_geometry", "split": "validation", "limit": 100}},
        "probe": {"on": "probe"},
        "study": {"seeds": [1, 2], "control": "a", "in_domain": "validation"},
        "arm": {"a": {}, **arms},
    })  # fmt: skip
    return study_file.checked(Path("study.toml"), "", base)


def found(*, accepted: tuple[str, ...] = (), status: str = "unexplained", **arms: dict[str, Any]) -> list[str]:
    return [row["path"] for row in fairness(study(**arms), accepted) if row["status"] == status]


def test_each_planted_difference_is_found() -> None:
    """Every one in an arm of its own: all arms are named where they differ, and nowhere else."""
    names = {f"arm_{number}": name for number, name in enumerate(PLANTED)}
    rows = fairness(study(**{arm: PLANTED[name][0] for arm, name in names.items()}))
    seen = {
        arm: [row["path"] for row in rows if row["status"] == "unexplained" and f" {arm}," in f" {who(row)},"]
        for arm in names
    }
    assert seen == {arm: [PLANTED[name][1]] for arm, name in names.items()}


def who(row: dict[str, Any]) -> str:
    """The arms for which a difference is not explained."""
    return row["reason"].rpartition(": not declared")[0].rpartition(". ")[2]


def test_all_of_them_together_are_found() -> None:
    change: dict[str, Any] = {}
    left_out = {"base", "answer style", "grader", "other data of RL"}  # each stands in another's place
    for name, (one, _) in PLANTED.items():
        change = change if name in left_out else overlay(change, one)
    expected = {path for name, (_, path) in PLANTED.items() if name not in left_out}
    assert set(found(b=change)) == expected
    with pytest.raises(RecipeError) as refused:
        refuse_unexplained(fairness(study(b=change)), Path("study.toml"))
    assert all(f"`{path}` is" in str(refused.value) for path in expected - {"match"})
    assert "`match`: b is planned 1.12 times `a`'s prompts (steps = 80 would match)" in str(refused.value)


def test_equal_arms_have_no_difference() -> None:
    """Keys in another order, defaults written out, and another name for the same data are no differences."""
    spelled = {
        "stage": {"rl": {"loss": "grpo", "clip_high": 0.3, "temperature": 1.0, "lora": False, "token_budget": 4096}},
        "suite": {"validation": {"grader": {"use": "math"}, "style": {"use": "tags", "instruction": ""}}},
        "eval": {"at": ["rl", "warm", "base"], "top_p": 1.0, "metrics": ["entropy", "accuracy", "pass@1", "pass@16",
                 "diversity@8"]},
        "data": {"early": {"split": "train", "limit": 600, "use": "pocket_geometry", "size": None}},
        "launch": {"processes": 2},
    }  # fmt: skip
    spelled["stage"]["warm"] = {"data": "early", "max_tokens": 1024}  # nothing is sampled there
    del spelled["data"]["early"]["size"]
    del spelled["stage"]["rl"]["lora"]
    rows = fairness(study(b=spelled, c={"stage": {"warm": dict(reversed(WARM.items()))}}))
    refuse_unexplained(rows, Path("study.toml"))
    assert [row["path"] for row in rows if row["status"] != "matched"] == ["stage.warm"]


def test_how_results_are_computed_is_shown_where_it_differs() -> None:
    """It changes no result, so nothing has to be declared; but seconds of such arms are not of one kind."""
    other = {"launch": {"processes": 2}, "stage": {"warm": {"token_budget": 4096}}}
    none = {"stage": {"warm": False, "rl": {"policy": "base"}}, "eval": {"at": ["base", "rl"]}}
    rows = {row["path"]: row for row in fairness(study(b=other, c=none))}
    assert rows["launch.processes"]["arms"] == {"a": 1, "b": 2, "c": 1}
    assert rows["stage.warm.token_budget"]["arms"] == {"a": 16384, "b": 4096, "c": "does not apply"}
    assert "seconds are not comparable" in rows["launch.processes"]["reason"]
    assert "launch.processes" not in {row["path"] for row in fairness(study(b={}))}
    said = {row["path"]: row["reason"] for row in fairness(study(b=other), ["launch.processes"]) if not row["arms"]}
    assert "changes no result" in said["launch.processes"]


def test_a_warm_start_behind_one_that_trains_nothing_is_found() -> None:
    hidden = {"stage": {"pre": {**WARM, "steps": 5000, "learning_rate": 1e-2}, "warm": NONE | {"policy": "pre"}}}
    rows = {row["path"]: row for row in fairness(study(b=hidden)) if row["status"] == "unexplained"}
    assert set(rows) == {"stage.warm.learning_rate", "match"} and rows["match"]["arms"]["b"] == "160,000 prompts"


@pytest.mark.parametrize("control", [{}, {"stage": {"warm": NONE}}])
@pytest.mark.parametrize(
    ("stages", "path"),
    [
        ({"warm": NONE | {"policy": "/another/run#sft"}}, "stage.warm.policy"),
        ({"warm": {"policy": "/another/run#sft"}}, "stage.warm.policy"),
        ({"mid": {**WARM, "steps": 1, "policy": "/another/run#rl"}, "warm": {"policy": "mid", "steps": 79}},
         "stage.mid.policy"),
    ],
)  # fmt: skip
def test_a_start_from_another_run_is_found(control: dict[str, Any], stages: dict[str, Any], path: str) -> None:
    rows = fairness(study(a=control, b={"stage": stages}))
    (row,) = [row for row in rows if row["path"] == path]
    assert row["status"] == "unexplained" and row["reason"] == "b: not declared" and row["arms"]["a"] == "base"
    assert [one["path"] for one in rows if one["status"] == "unexplained"] == [path]
    both = fairness(study(a={"stage": stages}, b={"stage": stages}))
    assert not [row for row in both if row["status"] == "unexplained"] and not [
        row for row in both if ".." in row["path"]
    ]


def test_an_earlier_stage_may_have_the_name_of_the_controls_last() -> None:
    two = {"stage": {"warm": {"data": "train", "steps": 1}, "final": {**WARM, "policy": "warm", "steps": 79},
                     "rl": {"policy": "final"}}, "eval": {"at": ["base", "final", "rl"]}}  # fmt: skip
    late = overlay(two, {"stage": {"final": {"data": "train"}}, "declared": {"stage.final.data": "its own"}})
    assert found(b=two) == ["stage.warm.data"]
    assert found(b=late) == ["stage.warm.data"] and found(b=late, status="declared")[0] == "stage.final.data"


def test_nothing_explains_all_stages_at_once() -> None:
    with pytest.raises(RecipeError, match=r"`arm\.b\.declared` has `stage`, which would explain all"):
        study(b={"declared": {"stage": "everything"}})
    with pytest.raises(UsageError, match="--accept data"):
        fairness(study(b={}), ["data"])


def test_stages_before_the_last_of_a_warm_start_are_compared() -> None:
    """What they read and train with the control's warm start; of one name setting by setting."""
    mid = {**WARM, "steps": 1, "data": "train", "train": ["vision"], "learning_rate": 0.3}
    two = {"stage": {"mid": mid, "warm": {"policy": "mid", "steps": 79}}}
    assert set(found(b=two)) == {"stage.mid.train", "stage.mid.data"}
    other = overlay(two, {"stage": {"mid": {"learning_rate": 0.1}}})
    assert set(found(b=two, c=other)) == {"stage.mid.learning_rate", "stage.mid.train", "stage.mid.data"}


def test_a_declaration_of_the_control_explains_its_difference_from_all() -> None:
    """And is not called useless; nor is a shared one that names a stage as an arm does."""
    slower = {"stage": {"warm": {"learning_rate": 1e-4}}}
    rows = fairness(study(a={"declared": {"stage.warm.learning_rate": "its own"}}, b=slower))
    assert [row["status"] for row in rows if row["path"] == "stage.warm.learning_rate"] == ["declared"]
    assert not any("take that out" in row["reason"] or "perhaps it means" in row["reason"] for row in rows)


def test_a_misspelt_declaration_is_named() -> None:
    slower = {"stage": {"warm": {"learning_rate": 1e-4}}, "declared": {"stage.warm.learning_rte": "its own"}}
    with pytest.raises(RecipeError, match=r"there is no difference: perhaps it means `stage\.warm\.learning_rate`"):
        refuse_unexplained(fairness(study(b=slower)), Path("study.toml"))


def test_what_is_the_methods_own_is_no_difference() -> None:
    """A teacher, a divergence: the warm start itself. What all methods share is compared, `max_tokens` where both
    sample."""
    rows = fairness(study(b={"stage": {"warm": OPD}}, c={"stage": {"warm": {**OPD, "divergence": "jsd"}}}))
    refuse_unexplained(rows, Path("study.toml"))
    (own,) = [row for row in rows if row["path"] == "stage.warm"]
    assert own["arms"] == {"a": "warm: sft", "b": "warm: opd (teacher local pocket:teacher)",
                           "c": "warm: opd (divergence jsd, teacher local pocket:teacher)"}  # fmt: skip
    long = {"stage": {"warm": {**OPD, "max_tokens": 64}}}
    assert found(b={"stage": {"warm": OPD}}, c=long) == ["stage.warm.max_tokens"]


def test_a_stage_of_another_name_is_compared() -> None:
    distil = {**OPD, "learning_rate": 1e-4}
    arm = {
        "stage": {"warm": False, "distil": distil, "rl": {"policy": "distil"}},
        "eval": {"at": ["base", "distil", "rl"]},
    }
    assert found(b=arm) == ["stage.warm.learning_rate"]
    declared = {"stage.distil.learning_rate": "its own"}
    assert found(b=arm | {"declared": declared}) == []


def curated(traces: dict[str, Any], reader: str = "warm", **change: Any) -> dict[str, Any]:
    """An arm whose warm start or outcome reads what a curator makes."""
    made = {"use": "traces", "data": "warmup", "teacher": TEACHER, "max_tokens": 32, **traces}
    return {"stage": {"traces": made, reader: {"data": "traces"}}, **change}


@pytest.mark.parametrize("reader", ["warm", "rl"])
def test_curators_of_one_name_are_compared_by_what_they_do(reader: str) -> None:
    """Their settings and their data, where they feed the warm start and where they feed the outcome."""
    other = {"other": {"use": "pocket_geometry", "split": "train", "limit": 600, "seed": 1}}
    arms = {"a": curated({}, reader), "b": curated({"max_tokens": 8}, reader),
            "c": curated({"data": "other"}, reader, data=other)}  # fmt: skip
    rows = {row["path"]: row for row in fairness(study(**arms)) if row["status"] == "unexplained"}
    assert {path: who(row) for path, row in rows.items()} == {
        "stage.traces.max_tokens": "b", "stage.traces.data": "c"
    }  # fmt: skip
    declared = {"declared": {"stage.traces.max_tokens": "short traces, by design"}}
    assert found(a=arms["a"], b=arms["b"] | declared) == []
    table = {"data": {"traces": {"use": "pocket_geometry", "limit": 8}}, "stage": {reader: {"data": "traces"}}}
    assert f"stage.{reader}.data" in found(a=arms["a"], b=table), "a table of a curator's name is no curator"


def test_what_rl_reads_of_a_warm_start_differs_with_it() -> None:
    """A curator that draws from the policy before RL; the same one before the warm start is the method's own."""
    pairs = {"use": "self_distill", "policy": "base", "data": "warmup", "chosen_from": "warm"}
    arm = {"stage": {"pairs": pairs, "rl": {"use": "dpo", "policy": "warm", "data": "pairs"}}}
    longer = overlay(arm, {"stage": {"warm": {"betas": [0.9, 0.98]}}, "declared": {"stage.warm": "its own"}})
    assert found(a=arm, b=longer) == ["stage.pairs.chosen_from"]
    assert found(a=arm, b=arm) == []


def test_a_declared_path_is_read_by_its_parts() -> None:
    """Not by its letters: a stage's name may be in another word."""
    warm = {"stage": {"warm": False, "a": {**WARM}, "rl": {"policy": "a"}}, "eval": {"at": ["base", "a", "rl"]}}
    other = {"stage": {"warm": False, "t": {**WARM, "learning_rate": 1e-4}, "rl": {"policy": "t"}},
             "eval": {"at": ["base", "t", "rl"]}, "declared": {"stage.t.learning_rate": "tuned"}}  # fmt: skip
    assert found(a=warm, b=other) == []


def test_an_arm_without_a_warm_start_explains_itself() -> None:
    rows = fairness(study(b={"stage": {"warm": {"use": "none", "data": "warmup"}}}, c={"stage": {"warm": False, "rl":
                    {"policy": "base"}}, "eval": {"at": ["base", "rl"]}}))  # fmt: skip
    refuse_unexplained(rows, Path("study.toml"))
    (budget,) = [row for row in rows if row["path"] == "match"]
    assert budget["arms"] == {"a": "2,560 prompts", "b": "no warm start", "c": "no warm start"}
    assert budget["status"] == "matched"


def test_declared_and_accepted() -> None:
    change = {"stage": {"warm": {"learning_rate": 1e-4, "betas": [0.9, 0.98], "steps": 160}}}
    assert set(found(b=change)) == {"stage.warm.betas", "stage.warm.learning_rate", "match"}
    declared = change | {"declared": {"stage.warm": "tuned for it", "match": "twice as long", "eval": "nothing"}}
    rows = fairness(study(b=declared))
    by_path = {row["path"]: row for row in rows if row["status"] == "declared"}
    assert {"stage.warm.betas", "stage.warm.learning_rate", "match"} <= by_path.keys()
    assert "b: tuned for it" in by_path["stage.warm.betas"]["reason"]
    assert "(steps = 80 would match)" in by_path["match"]["reason"]
    (stale,) = [row for row in rows if "there is no difference" in row["reason"]]
    assert (stale["path"], stale["status"]) == ("eval", "matched")
    accepted = ("stage.warm.learning_rate", "match")
    assert found(b=change, accepted=accepted) == ["stage.warm.betas"]
    assert found(b=change, accepted=accepted, status="accepted") == ["stage.warm.learning_rate", "match"]


def test_a_declaration_of_one_arm_is_not_anothers() -> None:
    change = {"stage": {"warm": {"learning_rate": 1e-4}}}
    declared = change | {"declared": {"stage.warm.learning_rate": "tuned"}}
    (row,) = [row for row in fairness(study(b=declared, c=change)) if row["path"] == "stage.warm.learning_rate"]
    assert row["status"] == "unexplained"
    assert row["reason"] == "b: tuned; c: not declared"


@pytest.mark.parametrize(
    ("match", "odd"), [("samples", True), ("updates", False), pytest.param("flops", True, marks=pytest.mark.slow)]
)
def test_budgets(match: str, odd: bool) -> None:
    """Distillation samples what supervised fine-tuning is given, and takes more operations for the same updates."""
    one = study(b={"stage": {"warm": OPD}})
    (row,) = [row for row in fairness(replace(one, study=one.study.model_copy(update={"match": match})))
              if row["path"] == "match"]  # fmt: skip
    assert (row["status"] == "unexplained") is odd


def test_the_pocket_study_declares_what_it_must_and_no_more() -> None:
    file = study_file.read(POCKET)
    assert file is not None
    rows = fairness(file)
    refuse_unexplained(rows, POCKET)
    assert not [row for row in rows if "there is no difference" in row["reason"]]
    declared = {row["path"] for row in rows if row["status"] == "declared"}
    assert declared == {"stage.warm", "stage.warm.data", "stage.warm.learning_rate", "stage.warm.normalise",
                        "stage.warm.prompts_per_step", "stage.zero.data", "match"}  # fmt: skip
