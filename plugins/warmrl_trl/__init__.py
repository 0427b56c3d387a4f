"""TRL's own trainers as a warm start: `trl`."""

from warmrl.api import Register, hookimpl
from warmrl_trl.config import TRLConfig


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `trl`."""
    register("trl", config=TRLConfig, implementation="warmrl_trl.method:TRL", revision="1")
