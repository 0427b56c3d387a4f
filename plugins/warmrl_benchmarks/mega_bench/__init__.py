"""MEGA-Bench (Chen et al. 2025, arXiv:2410.10563): scores of answers by its core rules, and of tasks as one number.

`aggregate` is the whole of the aggregation; `METRICS` are the rules that are scored, `LEFT_OUT` those that are not.
"""

from warmrl_benchmarks.mega_bench.aggregation import Aggregate, TaskScore, aggregate
from warmrl_benchmarks.mega_bench.metrics import LEFT_OUT, METRICS

__all__ = ["LEFT_OUT", "METRICS", "Aggregate", "TaskScore", "aggregate"]
