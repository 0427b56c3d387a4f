"""The warm start `rejection_sft` and the reward `short`."""

from warmrl.api import Register, hookimpl
from warmrl_example.config import RejectionSFTConfig, ShortConfig


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `rejection_sft`."""
    register("rejection_sft", config=RejectionSFTConfig, implementation="warmrl_example.method:RejectionSFT")


@hookimpl
def warmrl_register_rewards(register: Register) -> None:
    """Add `short`."""
    register("short", config=ShortConfig, implementation="warmrl_example.reward:Short")
