"""No warm start: the stage `none` hands its policy on as it is, the control of every comparison."""

from typing import ClassVar

from warmrl.api import Register, StageConfig, hookimpl


class NoneConfig(StageConfig):
    """No warm start: no settings but where the policy comes from."""

    reads: ClassVar[frozenset[str]] = frozenset()
    trains: ClassVar[bool] = False


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """Add `none`."""
    register("none", config=NoneConfig, implementation="warmrl_none.method:NoWarmStart", revision="1")
