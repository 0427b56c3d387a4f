"""The built-in metrics in closed form, on samples small enough to count by hand."""

import importlib
import math
import random
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import pytest
import torch
import warmrl_metrics
from warmrl_metrics.config import MetricConfig

from warmrl.api import Metric, MetricName, Sample, Value
from warmrl.packed.head import score_tokens
from warmrl.stats.intervals import interval

REFERENCE = "a" * 8 + "b" * 4 + "c" * 2 + "d" + "e"


def sample(index: int = 0, answer: str | None = "12", right: bool = False, tokens: int = 10, **known) -> Sample:
    """`known` replaces any other field; every sum over tokens is 1 unless it is there."""
    verdict = "right" if right else "wrong" if answer is not None else "no answer"
    fields = {
        "verdict": verdict, "well_formed": True, "finish": "stop", "score": float(right), "entropy": 1.0,
        "surprisal": 1.0, "entropy_sampling": 1.0, "nucleus": 1.0, **known,
    }  # fmt: skip
    return Sample("p", index, f"= {answer}", answer, answer, tokens=tokens, **fields)


def metric(spelled: str) -> Metric:
    name = MetricName.parse(spelled)
    module, _, attribute = warmrl_metrics.METRICS[name.name].partition(":")
    return getattr(importlib.import_module(f"warmrl_metrics.{module}"), attribute)(MetricConfig(), name)


def value(spelled: str, samples: list[Sample]) -> float:
    return metric(spelled).value(samples).value


def mean(spelled: str, problems: list[list[Sample]]) -> float:
    """The score of a suite, as the engine takes it."""
    found = [metric(spelled).value(samples) for samples in problems]
    return interval([one.value for one in found], [one.weight for one in found], draws=2).value


def answers(text: str) -> list[Sample]:
    """One sample per letter; `-` has no answer, `r` is right."""
    return [sample(i, None if c == "-" else c, c == "r") for i, c in enumerate(text)]


# Spelling


@pytest.mark.parametrize(
    ("text", "name", "k"), [("accuracy", "accuracy", None), ("pass@16", "pass", 16), ("pass^4", "pass^", 4)]
)
def test_a_spelling_is_read_and_printed(text: str, name: str, k: int | None) -> None:
    assert MetricName.parse(text) == MetricName(name, k)
    assert str(MetricName.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "pass@", "pass^@4", "pass@^4", "pass^^4", "pass^04", "pass@-1", "pass@4@4", "^4", "pass@٣"]
)
def test_what_is_no_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no metric: write a name, or"):
        MetricName.parse(text)


@pytest.mark.parametrize("text", ["pass@0", "pass^0", "diversity@0"])
def test_k_of_zero_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="k is at least 1"):
        MetricName.parse(text)


# How right


def test_accuracy_reads_the_greedy_answer() -> None:
    accuracy = metric("accuracy")
    assert accuracy.reads == "greedy"
    assert accuracy.value([sample(right=True)]) == Value(1.0)
    assert accuracy.value([sample()]) == Value(0.0)
    assert accuracy.value([sample(answer=None)]) == Value(0.0)
    assert accuracy.value([sample(score=0.25)]) == Value(0.25)
    assert accuracy.value([]) is None


@pytest.mark.parametrize(("k", "expected"), [(1, 1 / 4), (4, 265 / 364), (16, 1.0)])
def test_pass_is_unbiased(k: int, expected: float) -> None:
    assert value(f"pass@{k}", answers("rrrr" + "abcdefgh" + "----")) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("k", "expected"), [(1, 1 / 4), (2, 1 / 20), (4, 1 / 1820), (5, 0.0)])
def test_pass_all_is_unbiased(k: int, expected: float) -> None:
    assert value(f"pass^{k}", answers("rrrr" + "abcdefgh" + "----")) == pytest.approx(expected, abs=1e-12)


def test_pass_counts_unreadable_answers_as_wrong() -> None:
    assert value("pass@2", answers("r---")) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "spelled", ["pass@4", "pass^4", "avg@4", "maj@4", "diversity@4", "collision", "effective_answers"]
)
def test_too_few_samples_are_refused(spelled: str) -> None:
    with pytest.raises(ValueError, match=r"needs (at least 4|two) samples"):
        metric(spelled).value(answers("r"))


def test_the_mean_over_samples() -> None:
    for text in ("rab", "rrr", "---"):
        assert value("avg@2", answers(text)) == value("pass@1", answers(text)) == text.count("r") / 3
    assert value("avg@2", [sample(score=s) for s in (0.5, 0.25, 0.0)]) == 0.25


def by_subsets(text: str, k: int) -> Fraction:
    """maj@k by its definition: the mean credit over all subsets of k letters."""
    earned = []
    for subset in combinations(text, k):
        votes = {c: subset.count(c) for c in subset if c != "-"}
        top = [c for c in votes if votes[c] == max(votes.values())]
        earned.append(Fraction("r" in top, max(1, len(top))))
    return sum(earned, Fraction()) / len(earned)


@pytest.mark.parametrize("text", ["rrrr", "rrab", "rab-", "rraabb--", "----", "aab-rr", "r---a"])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_majority(text: str, k: int) -> None:
    assert value(f"maj@{k}", answers(text)) == pytest.approx(float(by_subsets(text, k)), abs=1e-12)


def test_ties_of_the_majority_have_their_share() -> None:
    assert value("maj@4", answers("rrab")) == 1
    assert value("maj@4", answers("rraa")) == 0.5
    assert value("maj@4", answers("r-ab")) == pytest.approx(1 / 3)
    assert value("maj@4", answers("rr" + "--")) == 1


def test_an_answer_is_right_when_most_of_its_samples_are() -> None:
    graded = [sample(i, "x", right=i < 2) for i in range(3)]
    assert value("maj@3", graded) == 1
    assert value("maj@3", [sample(i, "x", right=i < 1) for i in range(3)]) == 0


# How uncertain


def test_entropy_is_the_token_mean() -> None:
    problems = [
        [sample(tokens=10, entropy=5.0), sample(tokens=30, entropy=3.0)],
        [sample(tokens=2, entropy=4.0)],
    ]
    assert [metric("entropy").value(samples) for samples in problems] == [Value(8 / 40, 40), Value(2.0, 2)]
    assert mean("entropy", problems) == pytest.approx((5 + 3 + 4) / (10 + 30 + 2), abs=1e-12)


def test_four_names_are_four_numbers() -> None:
    problems = [
        [
            sample(tokens=10, entropy=5.0, entropy_sampling=2.0, surprisal=6.0, nucleus=20.0),
            sample(tokens=30, entropy=3.0, entropy_sampling=1.0, surprisal=2.0, nucleus=30.0),
        ],
        [sample(tokens=2, entropy=4.0, entropy_sampling=3.0, surprisal=5.0, nucleus=10.0)],
    ]
    expected = {
        "entropy": 12 / 42,
        "entropy_sequence": (0.5 + 0.1 + 2.0) / 3,
        "entropy_sampling": 6 / 42,
        "surprisal": 13 / 42,
        "branching": 60 / 42,
    }
    assert {name: mean(name, problems) for name in expected} == pytest.approx(expected, abs=1e-12)


def test_a_sequence_without_tokens_has_no_mean() -> None:
    samples = [sample(tokens=10, entropy=5.0), sample(tokens=0, entropy=0.0)]
    assert metric("entropy_sequence").value(samples) == Value(0.5, 1)
    assert metric("entropy_sequence").value(samples[1:]) is None


ENTROPIES = ["entropy", "entropy_sequence", "entropy_sampling", "surprisal"]


@pytest.mark.parametrize("name", [*ENTROPIES, "branching"])
def test_what_is_not_known_is_missing(name: str) -> None:
    field = {"entropy_sequence": "entropy", "branching": "nucleus"}.get(name, name)
    assert metric(name).value([sample(), sample(**{field: None})]) is None
    assert metric(name).value([sample(tokens=0, **{field: 0.0})]) is None
    assert metric(name).value([]) is None


@pytest.mark.parametrize("name", ENTROPIES)
def test_of_a_uniform_policy_it_is_the_logarithm_of_its_choices(name: str) -> None:
    known = dict.fromkeys(("entropy", "entropy_sampling", "surprisal"), 7 * math.log(64))
    assert value(name, [sample(tokens=7, **known)] * 3) == pytest.approx(math.log(64), abs=1e-12)


def test_what_must_be_computed_first_is_said() -> None:
    needs = {name: metric(name).needs for name in ("entropy", "surprisal", "entropy_sampling", "branching")}
    assert needs == {
        "entropy": frozenset(), "surprisal": frozenset(),
        "entropy_sampling": {"entropy_sampling"}, "branching": {"nucleus"},
    }  # fmt: skip


# A language model of three tokens, the last of which ends a completion: rows are the token before.
CHAIN = ((0.6, 0.3, 0.1), (0.2, 0.5, 0.3))


def chain_samples(count: int) -> list[Sample]:
    """Samples of the toy model, scored by the head: its weight is the table of log-probabilities."""
    draw, table = torch.Generator().manual_seed(8), torch.tensor(CHAIN)
    rows: list[list[int]] = [[0] for _ in range(count)]
    while alive := [row for row in rows if row[-1] != 2]:
        drawn = torch.multinomial(table[[row[-1] for row in alive]], 1, generator=draw)
        for row, token in zip(alive, drawn[:, 0].tolist(), strict=True):
            row.append(token)
    hidden = torch.nn.functional.one_hot(torch.tensor([token for row in rows for token in row[:-1]]), 2).float()
    out = score_tokens(hidden, table.log().t().contiguous(), torch.tensor([t for row in rows for t in row[1:]]))
    lengths = [len(row) - 1 for row in rows]
    sums = [[float(part.sum()) for part in one.split(lengths)] for one in (out.entropy, -out.logprob)]
    return [
        sample(index, tokens=tokens, entropy=entropy, surprisal=surprisal)
        for index, (tokens, entropy, surprisal) in enumerate(zip(lengths, *sums, strict=True))
    ]


def test_surprisal_tends_to_the_entropy_which_is_the_models() -> None:
    """E5's identity on own samples at temperature 1: both within 3 standard errors of the closed form.

    Visits to the two states are the solution of v = start + v Q; the entropy is that of a state, averaged over them.
    """
    (aa, ab, _), (ba, bb, _) = CHAIN
    scale = (1 - aa) * (1 - bb) - ab * ba
    visits = ((1 - bb) / scale, ab / scale)
    entropies = [-sum(p * math.log(p) for p in row) for row in CHAIN]
    closed = sum(v * h for v, h in zip(visits, entropies, strict=True)) / sum(visits)
    samples = chain_samples(4000)
    for name in ("entropy", "surprisal"):
        found = metric(name).value(samples)
        rest = [getattr(one, name) - found.value * one.tokens for one in samples]
        error = math.sqrt(math.fsum(r * r for r in rest)) / found.weight
        print(f"{name} {found.value:.4f} against {closed:.4f}, standard error {error:.4f}")
        assert 0 < error < 0.02
        assert abs(found.value - closed) <= 3 * error


# How varied


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("diversity@4", 1201 / 455),
        ("diversity@8", 3.728127),
        ("diversity@16", 5.0),
        ("collision", 7 / 24),
        ("effective_answers", 24 / 7),
        ("answer_entropy_biased", 1.299650963549897),
    ],
)
def test_the_reference_vector(name: str, expected: float) -> None:
    """E6: counts 8, 4, 2, 1, 1; whatever the order of the samples and the names of the answers."""
    assert value(name, answers(REFERENCE)) == pytest.approx(expected, abs=5e-7 if name == "diversity@8" else 1e-12)
    draw = random.Random(3)
    for _ in range(20):
        letters = draw.sample("abcdefghijkl", 5)
        text = REFERENCE.translate(str.maketrans("abcde", "".join(letters)))
        relabelled = answers("".join(draw.sample(text, len(text))))
        assert metric(name).value(relabelled) == metric(name).value(answers(REFERENCE))


def test_unreadable_answers_are_one_answer_or_left_out() -> None:
    assert value("diversity@4", answers("----")) == 1
    assert value("diversity@4", answers("a--b")) == 3
    assert value("diversity_answered@2", answers("a--b")) == 2
    assert metric("diversity_answered@3").value(answers("a--b")) is None
    assert value("diversity_answered@4", answers(REFERENCE + "----")) == pytest.approx(1201 / 455, abs=1e-12)


def test_effective_answers_are_one_over_the_mean_collision() -> None:
    """Also where no two samples of a problem agree: its own quotient would be infinite."""
    problems = [answers(text) for text in ("aabb", "aaaa", "abcd", REFERENCE)]
    collisions = [value("collision", one) for one in problems]
    assert collisions == [1 / 3, 1.0, 0.0, 7 / 24]
    assert mean("effective_answers", problems) == pytest.approx(4 / sum(collisions), rel=1e-9)
    assert mean("effective_answers", [answers("abcd")] * 3) == 2.0**40


def test_the_plug_in_entropy_of_one_answer_is_zero() -> None:
    assert str(value("answer_entropy_biased", answers("aaaa"))) == "0.0"


# Rates


def test_rates() -> None:
    samples = [sample(tokens=4), sample(tokens=8, finish="length", answer=None, well_formed=False, verdict="timed out")]
    rates = dict.fromkeys(("truncated", "extraction_failure", "format", "timed_out"), 0.5)
    for name, number in {"length": 6.0, **rates}.items():
        assert metric(name).value(samples) == Value(number)
        assert metric(name).value([]) is None


def test_every_metric_is_on_the_page() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text().splitlines()
    on_page = [line.split("`")[1] for line in lines if line.startswith("| `")]
    names = [MetricName(name) for name in warmrl_metrics.METRICS]
    spelled = [one.spelled("k") if metric(one.spelled(2)).takes_k else one.name for one in names]
    assert on_page == spelled


def test_every_metric_is_registered_under_a_class_that_exists() -> None:
    found: list[str] = []

    def register(name: str, *, config: type, implementation: str, revision: str) -> None:
        assert config is MetricConfig and revision
        assert implementation == f"warmrl_metrics.{warmrl_metrics.METRICS[name]}"
        found.append(name)

    warmrl_metrics.warmrl_register_metrics(register)
    with_k = {name for name in found if metric(MetricName(name).spelled(2)).takes_k}
    assert with_k == {"avg", "pass", "pass^", "maj", "diversity", "diversity_answered", "unsolved", "stuck"}


# Stuckness


def test_unsolved_is_the_rest_of_pass() -> None:
    for text in ("rrwx", "wxyz", "rrrr", "r---"):
        for k in (1, 2, 4):
            assert value(f"unsolved@{k}", answers(text)) == pytest.approx(1 - value(f"pass@{k}", answers(text)))


def test_stuck_is_the_share_of_the_commonest_mistake() -> None:
    assert value("stuck@4", answers("wwwx")) == 0.75
    assert value("stuck@4", answers("w---")) == 0.75  # no answer is one answer
    assert value("stuck@2", answers("rwwx")) == pytest.approx(2 / 3)
    assert metric("stuck@2").value(answers("rrrw")) is None
    # A mean over what stays unsolved: `rwwx` is half so (3 of 6 pairs have no right answer), `rrrr` not at all.
    found = [metric("stuck@2").value(answers(text)) for text in ("wwww", "rwwx")]
    assert [one.weight for one in found] == [1.0, 0.5]
    assert mean("stuck@2", [answers("wwww"), answers("rwwx")]) == pytest.approx((1 + 0.5 * 2 / 3) / 1.5)


@pytest.mark.parametrize("spelled", ["unsolved@5", "stuck@5"])
def test_stuckness_of_too_few_samples_is_refused(spelled: str) -> None:
    with pytest.raises(ValueError, match="5"):
        metric(spelled).value(answers("rwwx"))
