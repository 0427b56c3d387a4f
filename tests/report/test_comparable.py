"""What is refused to be compared: each rule with its offenders named, what force relaxes, and what it never does."""

import re
from typing import Any

import pytest

from bench.simulated_targets import evaluation
from warmrl.domain.errors import UsageError
from warmrl.report.comparable import check_comparable


@pytest.fixture
def two() -> list[dict[str, Any]]:
    return [evaluation(name, "geometry", skill, 0.8, problems=40) for name, skill in (("sft", 0.0), ("opd", 0.4))]


def test_alike_evaluations_pass(two: list[dict[str, Any]]) -> None:
    assert check_comparable(two) == ([], [])


def mixed_sampling(two: list[dict[str, Any]]) -> str:
    two[1]["settings"] = {**two[1]["settings"], "max_pixels": 401408}
    return r"on `geometry`, `max_pixels` is 1003520 for `sft` and 401408 for `opd`"


def unrecorded_sampling(two: list[dict[str, Any]]) -> str:
    del two[0]["settings"]["top_p"]
    return r"`top_p` is not recorded for `sft` and 1\.0 for `opd`"


def other_ids(two: list[dict[str, Any]]) -> str:
    two[1]["problems"][:5] = ["a", "b", "c", "d", "e"]
    return (
        r"`sft` on `geometry` lacks 5 of 45 problems: `a`, `b`, `c` and 2 more; "
        r"`opd` on `geometry` lacks 5 of 45 problems: `geometry-0000`, `geometry-0001`, `geometry-0002` and 2 more"
    )


def other_revision(two: list[dict[str, Any]]) -> str:
    two[1]["revision"] = "another"
    return r'`geometry` is not the same revision: "geometry-37e4933" for `sft` and "another" for `opd`'


def other_grader(two: list[dict[str, Any]]) -> str:
    two[1]["graders"]["first"] = "choice"
    return r'`geometry` is not graded alike: "math" for `sft` and "choice" for `opd`'


def greedy_repeats(two: list[dict[str, Any]]) -> str:
    for one in two:
        one["settings"] = {**one["settings"], "temperature": 0.0}
    return r"`sft` on `geometry` holds 16 samples a problem at temperature 0"


@pytest.mark.parametrize(
    "damage", [mixed_sampling, unrecorded_sampling, other_ids, other_revision, other_grader, greedy_repeats]
)
def test_unlike_evaluations_are_refused_unless_forced(two: list[dict[str, Any]], damage: Any) -> None:
    expected = damage(two)
    with pytest.raises(UsageError, match=expected) as caught:
        check_comparable(two)
    assert "--force" in str(caught.value) and "\n" not in str(caught.value)
    relaxed, remarks = check_comparable(two, force=True)
    assert re.search(expected, "; ".join(one.rstrip(".") for one in relaxed), re.I) and not remarks


def too_few_samples(two: list[dict[str, Any]]) -> str:
    two[0]["n"][3] = 12
    return r"`pass@16` of `sft` on `geometry` needs 16 samples a problem, and these have fewer: `geometry-0003`"


def twice_a_problem(two: list[dict[str, Any]]) -> str:
    two[1]["problems"][7] = two[1]["problems"][8]
    return r"`opd` on `geometry` holds problem ids twice: `geometry-0008`"


def twice_a_sample(two: list[dict[str, Any]]) -> str:
    two[1]["indices"] = [list(range(16)) for _ in range(40)]
    two[1]["indices"][5][15] = 4
    return r"`opd` on `geometry` holds samples twice \(problem id #index\): `geometry-0005 #4`"


def twice_a_target(two: list[dict[str, Any]]) -> str:
    two[1]["checkpoint"] = "sft"
    return r"`sft` is given twice on `geometry`"


def nothing_in_common(two: list[dict[str, Any]]) -> str:
    two[1]["problems"] = [f"other-{i}" for i in range(40)]
    return r"the targets have no problem of `geometry` in common"


@pytest.mark.parametrize(
    "damage", [too_few_samples, twice_a_problem, twice_a_sample, twice_a_target, nothing_in_common]
)
@pytest.mark.parametrize("force", [False, True])
def test_impossible_evaluations_are_refused_even_by_force(two: list[dict[str, Any]], damage: Any, force: bool) -> None:
    with pytest.raises(UsageError, match=damage(two)) as caught:
        check_comparable(two, force)
    assert "--force" not in str(caught.value)


def test_seeds_and_versions_that_differ_are_only_told(two: list[dict[str, Any]]) -> None:
    two[1]["settings"] = {**two[1]["settings"], "seed": 1, "versions": {"vllm": "0.27.0", "torch": "2.13.0"}}
    assert check_comparable(two) == (
        [],
        [
            "On `geometry`, `seed` is 0 for `sft` and 1 for `opd`.",
            'On `geometry`, `versions.vllm` is "0.26.0" for `sft` and "0.27.0" for `opd`.',
        ],
    )


def test_suites_may_be_sampled_each_in_its_own_way(two: list[dict[str, Any]]) -> None:
    other = [evaluation(name, "charts", 0.0, 0.8, problems=20) for name in ("sft", "opd")]
    for one in other:
        one["settings"] = {**one["settings"], "max_tokens": 64}
    assert check_comparable([*two, *other]) == ([], [])
