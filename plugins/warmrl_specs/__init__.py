"""SPECS (arXiv:2510.25801): the curator `self_distill`, which makes preference pairs of a policy's own answers."""

from warmrl.api import Register, hookimpl
from warmrl_specs.config import SelfDistillConfig


@hookimpl
def warmrl_register_curators(register: Register) -> None:
    """Add `self_distill`."""
    implementation = "warmrl_specs.self_distill:SelfDistill"
    register("self_distill", config=SelfDistillConfig, implementation=implementation, revision="1")
