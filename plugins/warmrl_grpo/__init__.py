"""Group-relative policy optimisation: the RL algorithm `grpo`."""

from warmrl.api import Register, hookimpl
from warmrl_grpo.config import GRPOConfig


@hookimpl
def warmrl_register_rl_algorithms(register: Register) -> None:
    """Add `grpo`."""
    register("grpo", config=GRPOConfig, implementation="warmrl_grpo.method:GRPO", revision="1")
