"""The datasets `files`, `geometry3k`, `mathvista`, `mega_bench`, `mmmu` and `vlaa_thinking`."""

from warmrl.api import Register, hookimpl
from warmrl_datasets.config import (
    FilesConfig,
    Geometry3KConfig,
    MathVistaConfig,
    MegaBenchConfig,
    MMMUConfig,
    VlaaThinkingConfig,
)


@hookimpl
def warmrl_register_datasets(register: Register) -> None:
    """Add the datasets."""
    register("files", config=FilesConfig, implementation="warmrl_datasets.files:Files", revision="1")
    register(
        "geometry3k",
        config=Geometry3KConfig,
        implementation="warmrl_datasets.geometry3k:Geometry3K",
        revision="1",
    )
    register("mathvista", config=MathVistaConfig, implementation="warmrl_datasets.mathvista:MathVista", revision="2")
    register("mmmu", config=MMMUConfig, implementation="warmrl_datasets.mmmu:MMMU", revision="1")
    register("mega_bench", config=MegaBenchConfig, implementation="warmrl_datasets.mega_bench:MegaBench", revision="1")
    register(
        "vlaa_thinking",
        config=VlaaThinkingConfig,
        implementation="warmrl_datasets.vlaa_thinking:VlaaThinking",
        revision="2",
    )
