"""A whole suite at once gives what single calls give, to the last bit; families of p-values; what is refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from warmrl.stats.contrasts import contrast, holm
from warmrl.stats.intervals import interval
from warmrl.stats.resampling import Sums, count_blocks, on_grid, swap_blocks
from warmrl.stats.suites import Score, compare_suite

N = 90
IDS = [f"problem {i:03}" for i in range(N)]
IMAGES = [f"image {i // 2}" for i in range(N)]
DRAWS = 600


def suite(models: int = 3, gain: float = 0.1) -> dict[str, dict[str, Score]]:
    """Scores of every kind: binary, a mean of samples, token-weighted, with gaps, one that only some models have."""
    generator = np.random.default_rng(0)
    chance = generator.beta(0.5, 0.75, N)
    found: dict[str, dict[str, Score]] = {}
    for model in range(models):
        right = generator.binomial(16, np.clip(chance + gain * model, 0, 1))
        nats = generator.random(N)
        nats[generator.random(N) < 0.1] = np.nan
        found[f"model {model}"] = {
            "accuracy": Score((generator.random(N) < right / 16).astype(float)),
            "pass@1": Score(right / 16),
            "entropy": Score(nats, generator.integers(5, 200, N)),
            "thirds": Score([None if i % 7 == model else float(c) / 3 for i, c in enumerate(right)]),
        }
    found["model 0"]["length"] = Score(generator.integers(5, 200, N))
    return found


def all_pairs(scores: dict[str, dict[str, Score]]) -> list[tuple[str, str]]:
    return list(itertools.combinations(scores, 2))


@pytest.mark.parametrize("method", ["bca", "percentile", "t", "wilson"])
@pytest.mark.parametrize("clusters", [None, IMAGES])
def test_together_or_alone_the_same_bits(method: str, clusters: list[str] | None) -> None:
    scores = suite()
    settings = {"clusters": clusters, "method": method, "draws": DRAWS, "seed": 3}
    together = compare_suite(IDS, scores, all_pairs(scores), **settings)
    for model, named in scores.items():
        for name, score in named.items():
            assert together.intervals[model][name] == interval(score.values, score.weights, ids=IDS, **settings)
    for (first, second), found in together.contrasts.items():
        assert list(found) == ["accuracy", "pass@1", "entropy", "thirds"]
        for name, one in found.items():
            a, b = scores[first][name], scores[second][name]
            alone = contrast(a.values, b.values, a.weights, b.weights, ids=IDS, **settings)
            assert replace(one, adjusted=alone.adjusted, family=1, resolved=alone.resolved) == alone
            assert one.family == 3


def test_order_and_company_do_not_matter_to_the_last_bit() -> None:
    """E12: shuffled problems, models in another order, fewer scores."""
    scores = suite()
    pairs = all_pairs(scores)
    first = compare_suite(IDS, scores, pairs, draws=DRAWS)
    order = np.random.default_rng(1).permutation(N)
    shuffled = {
        model: {
            name: Score(
                [np.asarray(score.values, dtype=float)[i] for i in order],
                None if score.weights is None else np.asarray(score.weights)[order],
            )
            for name, score in reversed(named.items())
        }
        for model, named in reversed(scores.items())
    }
    again = compare_suite([IDS[i] for i in order], shuffled, pairs[::-1], draws=DRAWS)
    assert again == first
    few = {model: {"pass@1": named["pass@1"]} for model, named in scores.items()}
    assert (
        compare_suite(IDS, few, pairs, draws=DRAWS).contrasts[pairs[0]]["pass@1"] == first.contrasts[pairs[0]]["pass@1"]
    )


def test_sums_are_exact_in_any_blocks() -> None:
    """Whole numbers times the grid: whatever the order of adding, and however many columns go together."""
    column = on_grid(np.random.default_rng(0).random(500) / 3)
    counts = np.concatenate(list(count_blocks(500, 300, 0))).astype(np.int64)
    whole = np.rint(column * 2.0**52).astype(object)
    exact = [int((row * whole).sum()) / 2**52 for row in counts]
    assert (counts @ column).tolist() == exact
    assert (counts[:, ::-1] @ column[::-1]).tolist() == exact
    assert (counts.astype(float) @ np.stack([column] * 7, axis=1))[:, 6].tolist() == exact
    assert np.abs(on_grid(np.array([1 / 3, 0.1, -1e-9])) - [1 / 3, 0.1, -1e-9]).max() < 1e-15
    np.testing.assert_array_equal(on_grid(np.array([0.0, 0.0])), [0, 0])


def test_swaps_are_fair_and_a_function_of_the_seed() -> None:
    bits = np.concatenate(list(swap_blocks(37, 4000, 5)))
    assert bits.shape == (4000, 37) and set(np.unique(bits)) == {0, 1}
    assert bits.mean(axis=0) == pytest.approx(np.full(37, 0.5), abs=0.04)
    assert (bits == np.concatenate(list(swap_blocks(37, 4000, 5)))).all()
    assert np.corrcoef(bits.T)[np.triu_indices(37, 1)] == pytest.approx(0, abs=0.09)


def test_a_model_against_itself() -> None:
    scores = suite(1)["model 0"]
    same = compare_suite(IDS, {"a": scores, "b": scores}, [("a", "b")], draws=DRAWS)
    assert all((found.difference, found.p) == (0, 1) for found in same.contrasts["a", "b"].values())


def test_nothing_is_drawn_that_nothing_reads() -> None:
    def never() -> list[np.ndarray]:
        raise AssertionError("drawn")

    Sums([], never, 10)


def test_holm_reference_values() -> None:
    """R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") and its ties and cap."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.5]) == [1, 1]
    assert holm([0.2]) == [0.2] and holm([]) == []


def test_holm_over_the_declared_family() -> None:
    scores = suite(4, gain=0.03)
    pairs = all_pairs(scores)
    found = compare_suite(IDS, scores, pairs, draws=DRAWS, contrasted=["accuracy", "pass@1"])
    for name in ("accuracy", "pass@1"):
        raw = [found.contrasts[pair][name].p for pair in pairs]
        assert [found.contrasts[pair][name].adjusted for pair in pairs] == holm(raw)
        assert all(found.contrasts[pair][name].family == 6 for pair in pairs)
    everything = compare_suite(IDS, scores, pairs, draws=DRAWS, contrasted=["accuracy", "pass@1"], family="all")
    listed = [found for named in everything.contrasts.values() for found in named.values()]
    assert [one.adjusted for one in listed] == holm([one.p for one in listed])
    assert {one.family for one in listed} == {12}


def test_resolved_respects_the_adjusted_p() -> None:
    """p = 0.004 alone is a difference; as one of sixteen that were looked at it is none."""
    differences = np.array([1.0] * 9 + [0.0] * 40)
    generator = np.random.default_rng(0)
    ids = IDS[: len(differences)]
    scores = {"base": {"s": Score(np.zeros(len(differences)))}, "best": {"s": Score(differences)}}
    alone = compare_suite(ids, scores, [("base", "best")]).contrasts["base", "best"]["s"]
    assert alone.resolved and alone.words == "up" and 0.001 < alone.p < 0.01
    for other in range(15):
        scores[f"other {other}"] = {"s": Score(generator.permutation([0.5, -0.5] * 24 + [0.0]))}
    many = compare_suite(ids, scores, [("base", model) for model in scores if model != "base"])
    one = many.contrasts["base", "best"]["s"]
    assert (one.low, one.p, one.mde) == (alone.low, alone.p, alone.mde)
    assert one.adjusted == pytest.approx(16 * one.p) and not one.resolved and one.words != "up"


def test_a_problem_that_a_model_lacks_is_left_out_and_counted() -> None:
    scores = {"a": {"s": Score([1.0, 0.0, None, 1.0])}, "b": {"s": Score([1.0, 1.0, 1.0, None])}}
    found = compare_suite(["p", "q", "r", "s"], scores, [("a", "b")], draws=DRAWS)
    assert (found.intervals["a"]["s"].n, found.intervals["a"]["s"].missing) == (3, 1)
    both = found.contrasts["a", "b"]["s"]
    assert (both.n, both.missing, both.difference) == (2, 2, 0.5)


def test_nothing_in_common_is_no_member_of_a_family() -> None:
    scores = {"a": {"s": Score([1.0, None])}, "b": {"s": Score([None, 1.0])}, "c": {"s": Score([0.0, 1.0])}}
    found = compare_suite(["p", "q"], scores, [("a", "b"), ("a", "c")], draws=DRAWS)
    assert found.contrasts["a", "b"]["s"].words == "no problem in common"
    assert found.contrasts["a", "b"]["s"].adjusted is None and found.contrasts["a", "c"]["s"].family == 1
    assert compare_suite([], {"a": {"s": Score([])}}).intervals["a"]["s"].value is None


def test_what_is_refused() -> None:
    one = {"a": {"s": Score([1.0, 0.0])}}
    with pytest.raises(ValueError, match="occur twice: p"):
        compare_suite(["p", "p"], one)
    with pytest.raises(ValueError, match="without scores: b"):
        compare_suite(["p", "q"], one, [("a", "b")])
    with pytest.raises(ValueError, match="`s` of `a`: 3 values for 2 problems"):
        compare_suite(["p", "q"], {"a": {"s": Score([1.0, 0.0, 1.0])}})
    with pytest.raises(ValueError, match="1 clusters"):
        compare_suite(["p", "q"], one, clusters=["only"])
