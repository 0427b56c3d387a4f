"""The answer styles `boxed`, `free` and `tags`."""

from warmrl.api import Register, hookimpl
from warmrl_answers.config import BoxedConfig, FreeConfig, TagsConfig


@hookimpl
def warmrl_register_answer_styles(register: Register) -> None:
    """Add the styles."""
    register("boxed", config=BoxedConfig, implementation="warmrl_answers.boxed:Boxed", revision="1")
    register("free", config=FreeConfig, implementation="warmrl_answers.free:Free", revision="1")
    register("tags", config=TagsConfig, implementation="warmrl_answers.tags:Tags", revision="1")
