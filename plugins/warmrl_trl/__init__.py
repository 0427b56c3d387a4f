"""TRL's own trainers as a warm start: `trl`. Its revision goes up with the TRL that `pyproject.toml` asks for."""

from warmrl.api import Register, hookimpl
from warmrl_trl.config import TRLConfig


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `trl`."""
    register("trl", config=TRLConfig, implementation="warmrl_trl.method:TRL", revision="1")
