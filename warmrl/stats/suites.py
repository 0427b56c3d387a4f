"""Every interval and contrast of one suite at once: the same draws for all, made once, and p-values of a family."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from warmrl.stats.contrasts import Contrast, contrast_of, holm, needs_resamples, shared
from warmrl.stats.intervals import Interval, Method, Observed, interval_of, needs_draws, numbered, observed, places
from warmrl.stats.resampling import Sums, count_blocks, swap_blocks

Family = Literal["score", "all"]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Score:
    """One score of one model: value (None or NaN: missing) and weight (None: 1) of each problem, (N,) each."""

    values: ArrayLike
    weights: ArrayLike | None = None


@dataclass(frozen=True)
class Comparison:
    """Intervals by model and score, contrasts by pair of models (second minus first) and score."""

    intervals: dict[str, dict[str, Interval]]
    contrasts: dict[Pair, dict[str, Contrast]]


def compare_suite(
    problems: Sequence[str],
    scores: Mapping[str, Mapping[str, Score]],
    pairs: Sequence[Pair] = (),
    *,
    contrasted: Collection[str] | None = None,
    family: Family = "score",
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    method: Method = "bca",
    draws: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Intervals of all `scores` (model to score's name to `Score`), and contrasts of the declared `pairs` of models.

    Entry i of every score is of `problems[i]`, an id; a problem that a model lacks has value None. `contrasted` names
    the scores to contrast (None: all that both models have). Holm adjusts p over the pairs of each score, or over
    every contrast (`family` "all"). Each result is what `interval` and `contrast` say on their own with the same ids,
    draws and seed, to the last bit, whatever the order of problems and whatever else is computed with it.
    Raises ValueError for an id that occurs twice, a pair that names no model, and data that can't be.
    """
    unknown = sorted({model for pair in pairs for model in pair} - set(scores))
    if unknown:
        raise ValueError(f"pairs name models without scores: {', '.join(unknown)}")
    order = places(problems, (len(problems),))
    groups = numbered(clusters, order)
    data: dict[str, dict[str, Observed]] = {model: {} for model in scores}
    for model, named in scores.items():
        for name, score in named.items():
            try:
                data[model][name] = observed(score.values, score.weights, groups, order)
            except ValueError as error:
                raise ValueError(f"`{name}` of `{model}`: {error}") from error
    both = {
        pair: {
            name: shared(one, data[pair[1]][name])
            for name, one in data[pair[0]].items()
            if name in data[pair[1]] and (contrasted is None or name in contrasted)
        }
        for pair in pairs
    }
    units = len(problems) if groups is None else int(groups.max(initial=-1)) + 1
    resamples, permutations = drawn(data, both, method, units, draws, seed)
    intervals = {
        model: {name: interval_of(score, resamples, level, method) for name, score in named.items()}
        for model, named in data.items()
    }
    contrasts = {
        pair: {name: contrast_of(*sides, resamples, permutations, level, method) for name, sides in named.items()}
        for pair, named in both.items()
    }
    return Comparison(intervals, adjusted(contrasts, family, level))


def drawn(
    data: Mapping[str, Mapping[str, Observed]],
    both: Mapping[Pair, Mapping[str, tuple[Observed, Observed]]],
    method: Method,
    units: int,
    draws: int,
    seed: int,
) -> tuple[Sums, Sums]:
    """The sums over resamples, and over permutations, that intervals and contrasts read; draws aren't kept."""
    alone = [score.ratio for named in data.values() for score in named.values() if needs_draws(score, method)]
    paired = [sides for named in both.values() for sides in named.values() if sides[0].n]
    moved = [side.ratio for sides in paired if needs_resamples(*sides, method) for side in sides]
    swapped = [side.ratio for sides in paired for side in sides]
    resamples = Sums([*alone, *moved], lambda: count_blocks(units, draws, seed), draws)
    return resamples, Sums(swapped, lambda: swap_blocks(units, draws, seed), draws)


def adjusted(
    contrasts: Mapping[Pair, Mapping[str, Contrast]], family: Family, level: float
) -> dict[Pair, dict[str, Contrast]]:
    """The contrasts with p adjusted over the pairs of each score, or over all of them."""
    found = {(pair, name): contrast for pair, named in contrasts.items() for name, contrast in named.items()}
    families: dict[str, dict[tuple[Pair, str], float]] = {}
    for (pair, name), contrast in found.items():
        if contrast.p is not None:
            families.setdefault(name if family == "score" else "", {})[pair, name] = contrast.p
    judged: dict[Pair, dict[str, Contrast]] = {pair: dict(named) for pair, named in contrasts.items()}
    for members in families.values():
        for (pair, name), p in zip(members, holm(list(members.values())), strict=True):
            judged[pair][name] = found[pair, name].in_family(p, len(members), level)
    return judged
