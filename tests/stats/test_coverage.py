"""What intervals and contrasts promise, over 2 000 simulated suites each: coverage, false alarms, power.

The suites of one size are the models of one `compare_suite`, so they share its draws; coverage is over the data.
"""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri, roots_sh_jacobi

from warmrl.stats.contrasts import Contrast
from warmrl.stats.estimators import pass_at_k
from warmrl.stats.power import Spread, detectable
from warmrl.stats.suites import Score, compare_suite

RUNS, BLOCK, DRAWS = 2000, 500, 1000
WRONG = np.array([0.5, 0.25, 0.15, 0.1])  # how wrong answers spread over four kinds
TABLES = {k: np.array([pass_at_k(16, c, k) for c in range(17)]) for k in (1, 4, 16)}


def simulated(
    runs: int, n: int, gain: float, generator: np.random.Generator, answers: bool = False
) -> list[dict[str, np.ndarray]]:
    """Scores of two models on `runs` suites of n problems of 16 samples, (runs, n) each.

    Difficulty is Beta(.5, .75); the second model's chance is (1 - gain) of it and gain times another, Beta(1, .5).
    With `answers`, diversity@4 too.
    """
    chance = generator.beta(0.5, 0.75, (runs, n))
    better = (1 - gain) * chance + gain * generator.beta(1, 0.5, (runs, n))
    found = []
    for right in (generator.binomial(16, chance), generator.binomial(16, better)):
        found.append({f"pass@{k}": table[right] for k, table in TABLES.items()})
        if answers:
            counts = [right, *np.moveaxis(generator.multinomial(16 - right, WRONG), -1, 0)]
            found[-1]["diversity@4"] = sum(TABLES[4][count] for count in counts)
    return found


def truth(name: str, gain: float) -> float:
    """The expected score of the second model, by quadrature exact for polynomials of its chance."""
    (x, p), (y, q) = (roots_sh_jacobi(20, a + b - 1, a) for a, b in ((0.5, 0.75), (1.0, 0.5)))
    chance, weight = (1 - gain) * x[:, None] + gain * y, np.outer(p / p.sum(), q / q.sum())
    kind, k = name.split("@")
    values = 1 - (1 - chance) ** int(k)
    if kind == "diversity":
        values = values + sum(1 - (1 - share * (1 - chance)) ** 4 for share in WRONG)
    return float((weight * values).sum())


def contrasts(n: int, gain: float, name: str, seed: int, runs: int = RUNS) -> list[Contrast]:
    """The contrast of one score of the two models on each suite."""
    generator = np.random.default_rng([n, seed])
    found: list[Contrast] = []
    for _ in range(runs // BLOCK):
        sides = zip("ab", simulated(BLOCK, n, gain, generator), strict=True)
        scores = {f"{side}{run}": {name: Score(data[name][run])} for side, data in sides for run in range(BLOCK)}
        pairs = [(f"a{run}", f"b{run}") for run in range(BLOCK)]
        block = compare_suite([f"{place:04}" for place in range(n)], scores, pairs, draws=DRAWS, seed=n)
        found.extend(named[name] for named in block.contrasts.values())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 300, 601])
def test_coverage(n: int) -> None:
    """E3: pass@1, pass@4, pass@16, diversity@4 of one model, and the paired difference of two, within 93.5-96.5 %."""
    generator = np.random.default_rng(n)
    true = {name: truth(name, 0) for name in ("pass@1", "pass@4", "pass@16", "diversity@4")}
    true["difference"] = truth("pass@1", 0.2) - truth("pass@1", 0)
    held = dict.fromkeys(true, 0)
    for _ in range(RUNS // BLOCK):
        first, second = simulated(BLOCK, n, 0.2, generator, answers=True)
        scores = {f"a{run}": {name: Score(values[run]) for name, values in first.items()} for run in range(BLOCK)}
        for run in range(BLOCK):
            scores[f"b{run}"] = {"difference": Score(second["pass@1"][run] - first["pass@1"][run])}
        found = compare_suite([f"{place:04}" for place in range(n)], scores, draws=DRAWS, seed=n)
        for named in found.intervals.values():
            for name, one in named.items():
                held[name] += one.low <= true[name] <= one.high
    shares = {name: times / RUNS for name, times in held.items()}
    assert all(0.935 <= share <= 0.965 for share in shares.values()), shares


@pytest.mark.slow
def test_resampling_rows_is_the_wrong_unit() -> None:
    """The mutant of E3: sixteen samples of a problem, each a problem of its own."""
    generator = np.random.default_rng(100)
    right = (16 * simulated(300, 100, 0, generator)[0]["pass@1"]).round().astype(int)
    rows = {f"{run}": {"rows": Score((np.arange(16) < right[run][:, None]).ravel())} for run in range(300)}
    found = compare_suite([f"{row:05}" for row in range(1600)], rows, draws=400)
    held = [named["rows"].low <= 0.4 <= named["rows"].high for named in found.intervals.values()]
    assert sum(held) / 300 < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pass@1", "pass@16"])
def test_false_alarms_of_equal_models(name: str) -> None:
    """E4: two correlated models of the same skill; intervals without zero are 4-6 % false alarms, and so is p.

    An exact p of few problems that changed takes few values and alarms less: 2.9 % here for pass@16, McNemar's 2.8 %.
    """
    found = contrasts(300, 0.0, name, seed=1)
    assert 0.04 <= sum(one.low > 0 or one.high < 0 for one in found) / RUNS <= 0.06
    assert (0.04 if name == "pass@1" else 0.02) <= sum(one.p <= 0.05 for one in found) / RUNS <= 0.06
    alone = [one.in_family(one.p, 1, 0.95) for one in found]  # not one of the block's five hundred
    assert sum(one.resolved for one in alone) / RUNS < 0.01  # that reach the minimum detectable difference too


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gain"), [("pass@1", 0.1), ("pass@16", 0.05)])
def test_power_is_what_the_formula_says(name: str, gain: float) -> None:
    """E4: the share of suites that find a true difference, within three points of the formula with known variances."""
    n = 200
    first, second = simulated(1, 200_000, gain, np.random.default_rng(5))
    spread = Spread(float((second[name] - first[name]).var()))
    difference = truth(name, gain) - truth(name, 0)
    error = detectable(spread, n) / (ndtri(0.975) + ndtri(0.8))
    expected = ndtr(difference / error - ndtri(0.975))
    found = contrasts(n, gain, name, seed=2, runs=1000)
    power = sum(one.low > 0 for one in found) / len(found)
    assert 0.5 < expected < 0.95 and power == pytest.approx(expected, abs=0.03)
    assert np.mean([one.mde for one in found]) == pytest.approx(detectable(spread, n), rel=0.02)


@pytest.mark.slow
def test_tasks_are_resampled_whole_and_no_second_level_below() -> None:
    """Mean over 100 tasks of 5 to 40 problems: whole tasks cover, two levels too much, problems alone too little."""
    tasks = 100
    sizes = np.random.default_rng(1).integers(5, 41, tasks)
    task = np.repeat(np.arange(tasks), sizes)
    ids = [f"{place:05}" for place in range(len(task))]
    generator = np.random.default_rng(2)
    chances = generator.beta(6, 4, (RUNS, tasks))  # tasks differ by .15 around .6
    right = (generator.random((RUNS, len(task))) < chances[:, task]).astype(np.float32)

    def share(runs: int, clusters: list[int] | None) -> tuple[float, float]:
        scores = {f"{run}": {"score": Score(right[run], (1 / sizes)[task])} for run in range(runs)}
        found = [
            named["score"] for named in compare_suite(ids, scores, clusters=clusters, draws=DRAWS).intervals.values()
        ]
        return sum(one.low <= 0.6 <= one.high for one in found) / runs, np.mean([one.high - one.low for one in found])

    twice = []
    for row in right[:600]:
        mean = np.bincount(task, row) / sizes
        drawn = generator.integers(tasks, size=(300, tasks))
        low, high = np.quantile(
            (generator.binomial(sizes[drawn], mean[drawn]) / sizes[drawn]).mean(axis=1), (0.025, 0.975)
        )
        twice.append((low <= 0.6 <= high, high - low))
    (whole, wide), (alone, _), (both, wider) = share(RUNS, task.tolist()), share(150, None), np.mean(twice, axis=0)
    print({"whole": whole, "alone": alone, "two levels": both, "width": wider / wide})
    assert 0.935 <= whole <= 0.965 < both and alone < 0.85
