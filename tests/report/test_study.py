"""The numbers of a study's report, on simulated studies of known truth."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from report.simulated_study import ARMS, Planted, Simulation

from warmrl.report import html, study_markdown, words
from warmrl.report.study import build
from warmrl.report.study_answers import persistence
from warmrl.report.study_budget import budget, environment_findings, environments, training
from warmrl.report.study_cells import Cells
from warmrl.report.study_costs import work
from warmrl.report.study_page import training_ends
from warmrl.report.study_regime import Regime

SMALL = Simulation(
    arms={name: ARMS[name] for name in ("sft", "opd", "none")},
    suites={"validation": (0.0, 60), "charts": (0.8, 40)},
    outcome_steps=90,
    points=3,
    draws=200,
    between=(0.1, 0.02),
)


@cache
def known() -> dict[str, Any]:
    return SMALL.known()


@cache
def report() -> dict[str, Any]:
    return build(known())


@cache
def with_seeds(count: int) -> dict[str, Any]:
    return build(replace(SMALL, seeds=tuple(range(count))).known())


def one(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def short(of: Simulation, *metrics: str) -> dict[str, Any]:
    """A simulation's input by few metrics (accuracy alone), with settings that may be changed."""
    given = of.known()
    for each in given["evaluations"]:
        each["metrics"] = {name: each["metrics"][name] for name in metrics or ("accuracy",)}
    return json.loads(json.dumps(given))  # type: ignore[no-any-return]


def texts(value: Any) -> Iterator[str]:
    """Every string of a report."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for own in value.values():
            yield from texts(own)
    elif isinstance(value, list):
        for own in value:
            yield from texts(own)


def test_a_report_is_the_same_bytes_but_for_clocks() -> None:
    later = json.loads(json.dumps(known()))
    for row in later["timings"]:
        row["seconds"] *= 2
    again = build(later)
    assert again["timings"] != report()["timings"]
    assert json.dumps({**again, "timings": None}, allow_nan=False) == json.dumps({**report(), "timings": None})


def test_endpoints_have_a_crossed_interval_and_each_seed() -> None:
    row = one(report()["endpoints"], arm="opd", point="end", suite="validation", metric="entropy")
    assert row["seeds"] == 3 and len(row["by_seed"]) == 3
    assert row["low"] < row["value"] < row["high"]
    assert row["value"] == pytest.approx(sum(seed["value"] for seed in row["by_seed"]) / 3, rel=1e-4)
    assert all(seed["low"] < seed["value"] < seed["high"] for seed in row["by_seed"])
    base = one(report()["endpoints"], arm=None, suite="validation", metric="entropy")
    assert (base["point"], base["seeds"], base["over"]) == ("base", 0, "problems")


def test_an_arm_without_warm_start_has_the_base_at_entry() -> None:
    entry = one(report()["endpoints"], arm="none", point="entry", suite="charts", metric="pass@1")
    base = one(report()["endpoints"], arm=None, suite="charts", metric="pass@1")
    assert entry["value"] == base["value"]


def test_method_contrasts_are_of_each_arm_with_the_control_and_of_its_own_change() -> None:
    rows = report()["methods"]["contrasts"]
    assert {(row["point"], row["arm"]) for row in rows} == {
        *((point, arm) for point in ("entry", "end") for arm in ("opd", "none")),
        *(("change", arm) for arm in SMALL.arms),
    }
    entry = one(rows, point="entry", arm="opd", suite="validation", metric="entropy")
    assert entry["from"] == "sft" and entry["family"] == 2 and entry["resolved"] and entry["difference"] > 0
    change = one(rows, point="change", arm="none", suite="validation", metric="entropy")
    assert change["resolved"] and change["difference"] < 0 and change["family"] == 3


def test_checkpoint_contrasts_stand_apart_and_share_a_family() -> None:
    rows = report()["checkpoints"]["contrasts"]
    own = [row for row in rows if (row["point"], row["suite"], row["metric"]) == ("end", "validation", "accuracy")]
    assert {(row["arm"], row["seed"]) for row in own} == {(arm, seed) for arm in ("opd", "none") for seed in (1, 2, 3)}
    assert {row["family"] for row in own} == {6}
    assert all(row["adjusted"] >= row["p"] for row in own)
    assert "not of the methods" in report()["checkpoints"]["claim"]


def test_the_lead_goes_from_the_domain_to_the_entropy() -> None:
    found = [row for row in report()["answers"] if "point" in row]
    places = [(row["point"], row["suite"]) for row in found]
    order = [("end", "validation"), ("end", "charts"), ("entry", "validation")]
    told = [row["resolved"] for row in report()["answers"]]
    assert told == sorted(told, key=(True, False, None).index), "told apart, not told apart, refused"
    keys = [(not row["resolved"], order.index(place)) for row, place in zip(found, places, strict=True)]
    assert keys == sorted(keys)
    assert all(row["claim"] == "methods" for row in found) and len(report()["answers"]) <= 9
    for row in found:
        assert row["resolved"] or ("can't be told apart" in row["text"] and "resolve about" in row["text"])


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_side_is_named_only_where_the_interval_excludes_zero(seeds: int) -> None:
    found = with_seeds(seeds)
    rows = found["methods"]["contrasts"] if seeds > 2 else found["checkpoints"]["contrasts"]
    assert not any(re.search(r"\b(better|worse|improv)", text) for text in texts(found["answers"]))
    named = 0
    for answer in (row for row in found["answers"] if "point" in row):
        same = [row for row in rows if all(row[key] == answer[key] for key in ("point", "suite", "metric"))]
        same = [row for row in same if row.get("seed") == answer.get("seed")]
        for side, sign in (("higher", 1), ("lower", -1)):
            for part in re.findall(rf"([\w, ]+?) (?:is|are) {side} than", answer["text"]):
                arms = set(re.findall(r"\w+", part)) & set(SMALL.arms)
                assert arms
                for arm in arms:
                    row = one(same, arm=arm)
                    named += 1
                    assert row["resolved"] and sign * row["low"] > 0 and sign * row["high"] > 0
    assert named
    for apart in found["regime"]["separation"]:
        if re.search("higher|lower", apart["sentence"]):
            assert any(row["resolved"] and row["low"] * row["high"] > 0 for row in apart["rows"])


@pytest.mark.parametrize(("seeds", "note"), [(1, "one run"), (2, "two runs")])
def test_below_three_seeds_the_word_method_is_refused(seeds: int, note: str) -> None:
    found = with_seeds(seeds)
    assert found["methods"]["contrasts"] == []
    assert "takes 3 seeds or more" in found["methods"]["refused"][0]
    assert found["methods"]["refused"][0] == next(row["text"] for row in found["answers"] if row["resolved"] is None)
    assert found["answers"][-1]["resolved"] is None
    assert found["note"] == f"{note}: no between-run interval" in found["regime"]["notes"]
    arms = [row for row in found["endpoints"] if row["arm"]]
    assert all(row["low"] is None and row["note"] == found["note"] and row["by_seed"] for row in arms)
    assert all(row["over_seeds"] is None for row in found["regime"]["curves"])
    assert not any(row["rows"] for row in found["regime"]["separation"])
    assert found["note"] in study_markdown.render(found)
    assert {row["claim"] for row in found["answers"] if "point" in row} == {"checkpoints"}


def test_failed_and_unfinished_cells_are_named_and_the_rest_is_there() -> None:
    given = replace(SMALL, failed=[("opd", 2)]).known()
    one(given["cells"], arm="none", seed=3)["state"] = "running"
    found = build(given)
    assert one(found["arms"], name="opd")["failed"] == [{"seed": 2, "error": "Out of memory at step 12 of `rl`."}]
    assert any("opd, seed 2, failed" in text for text in found["findings"])
    assert any("Not finished" in text and "none, seed 3" in text for text in found["findings"])
    assert one(found["endpoints"], arm="none", point="end", suite="charts", metric="accuracy")["seeds"] == 2
    assert found["methods"]["refused"] == [
        "Nothing is said of some methods: a claim about a method takes 3 seeds or more of each arm; "
        "opd has 2, none has 2."
    ]


def test_nothing_finished_is_a_report_too() -> None:
    given = replace(SMALL, failed=SMALL.cells()).known()
    found = build(given)
    assert len(found["findings"]) == 9 and {row["arm"] for row in found["endpoints"]} == {None}
    study_markdown.render(found)


def test_the_bands_over_problems_and_over_seeds_are_kept_apart() -> None:
    row = one(report()["regime"]["curves"], arm="opd", stage="rl", step=90)
    assert row["share"] == 1.0 and row["part"] == "outcome" and len(row["by_seed"]) == 3
    assert row["over_problems"]["low"] < row["value"] < row["over_problems"]["high"]
    assert row["over_seeds"]["low"] < row["value"] < row["over_seeds"]["high"]
    wide = replace(SMALL, between=(0.1, 0.15)).probed()
    regime = Regime(wide, Cells(wide), report()["interval"])
    other = one(list(regime.curves()), arm="opd", stage="rl", step=90)
    widths = [
        [band["high"] - band["low"] for band in (each["over_problems"], each["over_seeds"])] for each in (row, other)
    ]
    assert widths[1][1] > 3 * widths[0][1] and widths[1][0] < 2 * widths[0][0]


def test_separation_ends_where_arms_meet() -> None:
    arms = {"sft": Planted(entry=(0.0, 0.2), end=(1.0, 0.2)), "opd": Planted(entry=(0.0, 0.9), end=(1.0, 0.2))}
    own = Simulation(arms=arms, suites={"validation": (0.0, 30)}, outcome_steps=90, points=9, draws=200)
    (found,) = Regime(own.probed(), Cells(own.probed()), {"level": 0.95}).separation()
    assert found["rows"][0]["step"] == 0 and found["rows"][0]["resolved"] and not found["rows"][-1]["resolved"]
    assert found["ends"] == max(row["step"] for row in found["rows"] if row["resolved"])
    after = found["rows"][[row["step"] for row in found["rows"]].index(found["ends"]) + 1]
    said = (
        f"than that of sft, told apart from RL entry up to step {found['ends']}; after it not (step {after['step']}: +"
    )
    assert said in found["sentence"]


def test_the_budget_is_measured_and_compared_with_the_control() -> None:
    given = Simulation(seeds=(1,)).known()
    matched = {row["arm"]: row for row in budget(given)["matched"]}
    assert matched["sft"]["status"] == "control" and matched["opd"]["status"] == "matched"
    assert matched["sft_overtrained"]["ratio"] == 6 and matched["sft_overtrained"]["status"] == "not matched"
    assert matched["none"]["status"] == "no warm start"
    one(given["arms"], name="opd_long")["declared"] = {"match": "four times, by design"}
    given["work"] = [row for row in given["work"] if row["arm"] != "specs"]
    given["work"].append({"arm": "specs", "seed": 1, "stage": "warm", "part": "warm"})
    matched = {row["arm"]: row for row in budget(given)["matched"]}
    assert matched["opd_long"]["status"] == "declared" and matched["specs"]["status"] == "not counted"
    one(given["arms"], name="sft")["declared"] = {"match": "shorter than all, by design"}
    matched = {row["arm"]: row for row in budget(given)["matched"]}
    assert (matched["sft_overtrained"]["status"], matched["opd"]["status"]) == ("declared", "matched")
    assert matched["opd_long"]["reason"] == "four times, by design", "an arm's own before the control's"


def test_stage_2_starts_at_what_is_handed_on() -> None:
    """Not at the end of the warm start, where a hand-off rule or the recipe took an earlier step."""
    own = Simulation(suites={"validation": (0.0, 20)}, outcome_steps=4, points=4, draws=50).probed()
    points = [row for row in own["probe"] if (row["arm"], row["seed"], row["stage"]) == ("opd", 1, "warm")]
    early, late = points[0]["checkpoint"], points[-1]["checkpoint"]
    one(own["arms"], name="opd")["entry"] = early
    rows = [row for row in Regime(own, Cells(own), {"level": 0.95}).curves() if row["arm"] == "opd"]
    start = next(row for row in rows if row["part"] == "outcome")
    warm = [row for row in rows if row["part"] == "warm"]
    assert early != late and start["step"] == 0 and start["value"] == warm[0]["value"] != warm[-1]["value"]


def test_training_curves_are_thin_means_of_neighbouring_steps() -> None:
    given = known()
    rows = [row for row in training(given) if (row["arm"], row["seed"], row["stage"]) == ("opd", 1, "rl")]
    own = [row for row in given["training"] if (row["arm"], row["seed"], row["stage"]) == ("opd", 1, "rl")]
    assert len(rows) <= 60 and rows[-1]["step"] == 90 and sum(row["steps"] for row in rows) == 90
    assert rows[0]["reward"] == pytest.approx((own[0]["reward"] + own[1]["reward"]) / 2)


def test_runs_of_another_environment_are_found() -> None:
    own = {"python": "3.11.9", "device": "cpu", "packages": {"torch": "2.13.0"}}
    other = {**own, "packages": {"torch": "2.12.0"}}
    found = environments({"sft/seed-1": own, "sft/seed-2": own, "opd/seed-1": own, "opd/seed-2": other})
    (said,) = environment_findings(found)
    assert "`packages.torch`" in said and "2.12.0 (opd/seed-2)" in said
    assert found["same"]["device"] == "cpu" and "packages.torch" not in found["same"]


def test_transfer_is_from_entry_to_end_inside_and_outside_the_domain() -> None:
    row = one(report()["transfer"], arm="opd", seed=None)
    ends = report()["endpoints"]
    for side, point in (("from", "entry"), ("to", "end")):
        for where, suite in (("in", "validation"), ("out", "charts")):
            assert row[side][where] == one(ends, arm="opd", point=point, suite=suite, metric="accuracy")["value"]


def test_markdown_has_the_numbers() -> None:
    text = study_markdown.render(report())
    for answer in report()["answers"]:
        assert re.sub(r"[\\]", "", answer["text"]) in text.replace("\\", "")
    row = one(report()["endpoints"], arm="opd", point="end", suite="charts", metric="accuracy")
    assert f"{100 * row['value']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})" in text
    assert text.count("Method claim: crossed") == 6 and "## Fairness" in text


def test_without_the_control_no_arm_is_compared() -> None:
    failed = [("sft", seed) for seed in SMALL.seeds] + [("none", seed) for seed in SMALL.seeds]
    found = build(short(replace(SMALL, failed=failed, draws=50)))
    assert {(row["point"], row["arm"]) for row in found["methods"]["contrasts"]} == {("change", "opd")}
    assert found["methods"]["refused"] == [
        "The control sft has no finished run: no arm is compared with it.",
        "Nothing is said of none: no finished run.",
    ]
    assert "Each arm minus" not in html.render(found)


def test_a_separation_ends_where_the_probe_of_both_ends() -> None:
    given = known()
    cut = [one for one in given["probe"] if (one["arm"], one["checkpoint"]) != ("opd", "rl")]
    for probe, end, whole in (
        (given["probe"], "the end of rl", True),
        (cut, "step 60, the last that both have", False),
    ):
        own = {**given, "probe": probe}
        found = one(Regime(own, Cells(own), {"level": 0.95}).separation(), to="opd")
        assert found["whole"] == whole and found["sentence"].endswith(f"from RL entry to {end}.")
        (said,) = persistence({"separation": [found], "metric": "entropy", "suite": "probe"}, "sft")
        assert ("still apart at the end" in said["text"]) == whole


def test_what_a_step_can_show_is_of_its_own_decision() -> None:
    given = known()
    regime = Regime(given, Cells(given), {"level": 0.95})
    row = one(regime.separation(), to="opd")["rows"][1]
    alone = regime.contrast(regime.along("sft")[row["step"]], regime.along("opd")[row["step"]], 0.95)
    assert row["family"] == 4, "two arms, from both sides"
    assert row["mde"] > alone.mde and row["adjusted"] >= row["p"]


def test_runs_that_were_sampled_otherwise_are_not_compared() -> None:
    given = short(replace(SMALL, draws=50))
    for each in given["evaluations"]:
        if each["arm"] == "opd" and each["suite"] == "charts":
            each["settings"]["temperature"] = 0.3
    found = build(given)
    for rows in (found["methods"]["contrasts"], found["checkpoints"]["contrasts"]):
        compared = {row["suite"] for row in rows if row["arm"] == "opd" and row["point"] != "change"}
        assert compared == {"validation"}
        assert {row["suite"] for row in rows if row["arm"] == "none"} == {"validation", "charts"}
    assert any("on `charts`, `temperature`".lower() in text.lower() for text in found["findings"])
    assert any("50 draws" in text and "9 contrasts" in text for text in found["findings"])
    assert [block["used_by"] for block in found["sampling"]][1:] == [
        ["opd, seed 1, warm, opd, seed 1, rl, opd, seed 2, warm and 3 more on charts"],
        ["probe"],
    ]
    assert "setting | validation; base, sft" in study_markdown.render(found)
    assert not any("`temperature`" in text or "draws" in text for text in report()["findings"])


def test_all_right_is_marked_and_few_seeds_show_the_same_everywhere() -> None:
    given = short(replace(SMALL, seeds=(1,), draws=50), "accuracy", "pass@16")
    for each in given["evaluations"]:
        if (each["arm"], each["point"]) == ("opd", "end"):
            each["metrics"]["pass@16"]["values"] = [1.0] * len(each["problems"])
    found = build(given)
    row = one(found["endpoints"], arm="opd", point="end", suite="validation", metric="pass@16")
    assert row["degenerate"] and row["shown"] == "100.0 to 100.0 *"
    other = one(found["endpoints"], arm="opd", point="end", suite="validation", metric="accuracy")
    page, text = html.render(found), study_markdown.render(found).replace("\\", "")
    for each in (row, other):
        assert each["shown"] in page and f"({each['shown']})" in text
    assert "says nothing of sampling noise" in page and "says nothing of sampling noise" in text


def test_units_are_those_of_the_headline() -> None:
    given = short(replace(SMALL, seeds=(1,), draws=50), "diversity@4")
    for each in given["evaluations"]:
        each["metrics"] = {"score": {**each["metrics"]["diversity@4"], "higher_is_better": True}}
    found = build(given)
    row = one(found["transfer"], arm="opd", seed=None)
    assert row["unit"] == found["regime"]["gain"]["unit"] == "count"
    value = words.quantity(row["from"]["in"], "count")
    assert f"| opd | mean | {value} |" in study_markdown.render(found)
    assert f"<td>{value}</td>" in html.render(found) and "gain in score, answers" in html.render(found)


def test_a_bar_of_what_was_not_counted_is_not_drawn() -> None:
    rows = [{"arm": "opd", "seed": seed, "part": "warm", "prompts": count} for seed, count in ((1, 10), (2, None))]
    assert work({"arms": [{"name": "opd"}], "budget": {"rows": rows}}, "prompts")["opd"]["warm"] is None


def test_the_first_tenth_counts_steps_not_rows() -> None:
    rows = [
        {"arm": "opd", "part": "outcome", "step": step, "steps": steps, "reward": reward, "length": 1.0}
        for step, steps, reward in ((3, 3, 1.0), (4, 1, 5.0), (100, 1, 9.0))
    ]
    (found,) = training_ends({"arms": [{"name": "opd"}], "training": rows})
    assert found["cells"][:2] == ["2", "9"]


def test_a_flag_is_of_the_stage_in_which_it_first_is() -> None:
    arms = {"sft": Planted(entry=(0.0, 0.3), end=(1.0, 0.28)), "opd": Planted(entry=(0.0, 1.0), end=(1.0, 0.2))}
    own = Simulation(arms=arms, seeds=(1,), suites={"validation": (0.0, 4)}, outcome_steps=90, points=3).probed()
    found = list(Regime(own, Cells(own), {"level": 0.95, "draws": 100, "seed": 0, "method": "bca"}).flags())
    assert {(row["arm"], row["part"], row["against"]) for row in found} == {
        ("sft", "warm", "base"),
        ("opd", "outcome", "base"),
        ("opd", "outcome", "entry"),
    }
    assert "of RL entry" in one(found, against="entry")["sentence"]
