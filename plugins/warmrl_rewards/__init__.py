"""The rewards `math` and `format`."""

from warmrl.api import Register, hookimpl
from warmrl_rewards.config import FormatConfig, MathConfig


@hookimpl
def warmrl_register_rewards(register: Register) -> None:
    """Add both rewards."""
    register("math", config=MathConfig, implementation="warmrl_rewards.math:Math", revision="1")
    register("format", config=FormatConfig, implementation="warmrl_rewards.format:Format", revision="1")
