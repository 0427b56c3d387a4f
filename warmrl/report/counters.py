"""What a run counts in its samples without rewarding it (rewards of weight 0), and how that goes with the rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from warmrl.stats.series import rank_correlation

Table = dict[str, Any]

PREFIX = "reward/"


def counted(recipe: Mapping[str, Any]) -> list[str]:
    """The recipe's rewards of weight 0."""
    return [name for name, table in recipe.get("reward", {}).items() if table.get("weight") == 0]


def counters(recipe: Mapping[str, Any], training: Sequence[Mapping[str, Any]], level: float) -> Iterator[Table]:
    """A row a stage, counter and rewarded part: the counter's mean over the first and the last fifth of the steps, and
    its rank correlation with the reward over the steps.
    """
    names = counted(recipe)
    for stage in dict.fromkeys(row["stage"] for row in training):
        rows = [row for row in training if row["stage"] == stage]
        for counter in names:
            series = [row[PREFIX + counter] for row in rows if row.get(PREFIX + counter) is not None]
            for reward in recipe["reward"]:
                if reward == counter or not series:
                    continue
                pairs = [(row.get(PREFIX + counter), row.get(PREFIX + reward)) for row in rows]
                known = [pair for pair in pairs if None not in pair]
                columns = zip(*known, strict=True) if known else ((), ())
                fifth = max(1, len(series) // 5)
                ends = {"first": fmean(series[:fifth]), "last": fmean(series[-fifth:])}
                about = {"stage": stage, "counter": counter, "reward": reward, **ends}
                yield about | asdict(rank_correlation(*columns, level=level))
