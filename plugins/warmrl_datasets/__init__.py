"""The dataset `files`."""

from warmrl.api import Register, hookimpl
from warmrl_datasets.config import FilesConfig


@hookimpl
def warmrl_register_datasets(register: Register) -> None:
    """Add the dataset."""
    register("files", config=FilesConfig, implementation="warmrl_datasets.files:Files", revision="1")
