"""Rewards that score benchmarks by their official rules: `mathvista`, `mmmu`, `mega_bench`."""

from warmrl.api import Register, hookimpl
from warmrl_benchmarks.config import MathVistaConfig, MMMUConfig
from warmrl_benchmarks.mega_bench.config import MegaBenchConfig


@hookimpl
def warmrl_register_rewards(register: Register) -> None:
    """Add the graders."""
    register("mathvista", config=MathVistaConfig, implementation="warmrl_benchmarks.mathvista:MathVista", revision="1")
    register("mmmu", config=MMMUConfig, implementation="warmrl_benchmarks.mmmu:MMMU", revision="1")
    register(
        "mega_bench",
        config=MegaBenchConfig,
        implementation="warmrl_benchmarks.mega_bench.grader:MegaBench",
        revision="1",
    )
