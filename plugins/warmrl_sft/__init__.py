"""Supervised fine-tuning: the warm start `sft`."""

from warmrl.api import Register, hookimpl
from warmrl_sft.config import SFTConfig


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `sft`."""
    register("sft", config=SFTConfig, implementation="warmrl_sft.method:SFT", revision="1")
