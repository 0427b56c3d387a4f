"""On-policy distillation: the warm start `opd`."""

from warmrl.api import Register, hookimpl
from warmrl_opd.config import OPDConfig


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `opd`."""
    register("opd", config=OPDConfig, implementation="warmrl_opd.method:OPD", revision="1")
