"""Distillation on the student's own samples: `opd`, with rewards `kdrl`, from itself `opsd`."""

from warmrl.api import Register, hookimpl
from warmrl_opd.config import KDRLConfig, OPDConfig, OPSDConfig


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `opd` and `opsd`."""
    register("opd", config=OPDConfig, implementation="warmrl_opd.method:OPD", revision="2")
    register("opsd", config=OPSDConfig, implementation="warmrl_opd.opsd:OPSD", revision="1")


@hookimpl
def warmrl_register_rl_algorithms(register: Register) -> None:
    """Add `kdrl`."""
    register("kdrl", config=KDRLConfig, implementation="warmrl_opd.kdrl:KDRL", revision="1")
