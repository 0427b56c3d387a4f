"""Direct preference optimisation: the warm start `dpo`."""

from warmrl.api import Register, hookimpl
from warmrl_dpo.config import DPOConfig


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `dpo`."""
    register("dpo", config=DPOConfig, implementation="warmrl_dpo.method:DPO", revision="1")
