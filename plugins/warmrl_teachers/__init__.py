"""Teachers, and the curator that keeps their right answers: `local`, `traces`."""

from warmrl.api import Register, hookimpl
from warmrl_teachers.config import LocalConfig, TracesConfig


@hookimpl
def warmrl_register_teachers(register: Register) -> None:
    """Add `local`."""
    register("local", config=LocalConfig, implementation="warmrl_teachers.local:LocalTeacher", revision="1")


@hookimpl
def warmrl_register_curators(register: Register) -> None:
    """Add `traces`."""
    register("traces", config=TracesConfig, implementation="warmrl_teachers.traces:Traces", revision="1")
