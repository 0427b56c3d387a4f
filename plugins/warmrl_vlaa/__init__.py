"""VLAA-Thinking (Chen et al. 2025, arXiv:2504.11468): its data pipeline and what it measures of the data.

The curators `vlaa` and `perplexity`, the reward and the metric `reflection`.
"""

from warmrl.api import Register, hookimpl
from warmrl_vlaa.config import MetricConfig, PerplexityConfig, ReflectionConfig, VlaaConfig


@hookimpl
def warmrl_register_curators(register: Register) -> None:
    """Add `vlaa` and `perplexity`."""
    register("vlaa", config=VlaaConfig, implementation="warmrl_vlaa.curator:Vlaa", revision="1")
    register("perplexity", config=PerplexityConfig, implementation="warmrl_vlaa.perplexity:Perplexity", revision="1")


@hookimpl
def warmrl_register_rewards(register: Register) -> None:
    """Add `reflection`."""
    register("reflection", config=ReflectionConfig, implementation="warmrl_vlaa.reflection:ReflectionReward")


@hookimpl
def warmrl_register_metrics(register: Register) -> None:
    """Add `reflection`."""
    register("reflection", config=MetricConfig, implementation="warmrl_vlaa.reflection:Reflection", revision="1")
