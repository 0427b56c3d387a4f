"""The one spelling of a metric (`pass@16`) and of a checkpoint (`stage`, `stage@step`, `RUN#stage@step`)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricName:
    """A metric as a recipe spells it: a plugin's name and, for some, the number of samples k it speaks of.

    A name that ends in `^` has its k as a power: plugin `pass^` and k = 4 are `pass^4`. All others: `pass@4`.
    """

    name: str
    k: int | None = None

    @classmethod
    def parse(cls, text: str) -> MetricName:
        """Read `accuracy`, `pass@16` or `pass^4`. Raises ValueError with a sentence when it is none, or k is zero."""
        found = re.fullmatch(r"([a-z][a-z0-9_/]*\^?)(?:(?:(?<!\^)@|(?<=\^))(0|[1-9][0-9]{0,8}))?", text)
        if not found:
            raise ValueError(
                f"`{text}` is no metric: write a name, or a name and a number of samples, as `pass@16` or `pass^4`"
            )
        k = int(found[2]) if found[2] else None
        if k == 0:
            raise ValueError(f"`{text}`: k is at least 1")
        return cls(found[1], k)

    def spelled(self, k: object) -> str:
        """The name with a number of samples, or with the letter that stands for one."""
        return f"{self.name}{k}" if self.name.endswith("^") else f"{self.name}@{k}"

    def __str__(self) -> str:
        return self.name if self.k is None else self.spelled(self.k)


@dataclass(frozen=True)
class CheckpointName:
    """A policy of a run: the stage that made it (or `base`), and the step; None is what the stage hands on.

    That is its end, unless a hand-off rule chose another step. `end` is the last step whatever was chosen.
    """

    stage: str
    step: int | None = None
    run: str | None = None
    end: bool = False

    @classmethod
    def parse(cls, text: str) -> CheckpointName:
        """Read `rl`, `rl@60`, `rl@end` or `runs/x#rl@60`. Raises ValueError with a sentence otherwise."""
        found = re.fullmatch(r"(?:(.+)#)?([A-Za-z_][A-Za-z0-9_-]*)(?:@([0-9]+|end))?", text)
        if not found:
            raise ValueError(f"`{text}` is no checkpoint: write `stage`, `stage@step` or `RUN#stage@step`")
        step = found[3] if found[3] != "end" else None
        return cls(found[2], int(step) if step else None, found[1], found[3] == "end")

    def __str__(self) -> str:
        run = f"{self.run}#" if self.run else ""
        return f"{run}{self.stage}" + ("@end" if self.end else "" if self.step is None else f"@{self.step}")
