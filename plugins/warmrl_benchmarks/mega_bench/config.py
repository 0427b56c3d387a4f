"""Settings of the grader of MEGA-Bench."""

from warmrl.api import PooledRewardConfig


class MegaBenchConfig(PooledRewardConfig):
    """The score of an answer by MEGA-Bench's core rules (megabench/metrics), in [0, 1]."""
