"""Teachers, and the curator that keeps their right answers: `local`, `server`, `reward_model`, `traces`."""

from warmrl.api import Register, hookimpl
from warmrl_teachers.config import LocalConfig, RewardModelConfig, ServerConfig, TracesConfig


@hookimpl
def warmrl_register_teachers(register: Register) -> None:
    """Add `local`, `server` and `reward_model`."""
    register("local", config=LocalConfig, implementation="warmrl_teachers.local:LocalTeacher", revision="1")
    register("server", config=ServerConfig, implementation="warmrl_teachers.server:ServerTeacher", revision="1")
    register("reward_model", config=RewardModelConfig, implementation="warmrl_teachers.reward_model:RewardModel")


@hookimpl
def warmrl_register_curators(register: Register) -> None:
    """Add `traces`."""
    register("traces", config=TracesConfig, implementation="warmrl_teachers.traces:Traces", revision="1")
