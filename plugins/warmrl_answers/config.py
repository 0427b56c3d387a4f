"""Settings of the answer styles."""

from warmrl.api import Config


class BoxedConfig(Config):
    """Reasoning in `<think>` tags, the answer in a box."""

    instruction: str = (
        "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. "
        "The reasoning process MUST BE enclosed within <think> </think> tags. "
        "The final answer MUST BE put in \\boxed{}."
    )
    """Text put after the question; "" adds nothing. The default is EasyR1's (examples/format_prompt/math.jinja)."""


class TagsConfig(Config):
    """Reasoning in `<think>` tags, the answer in `<answer>` tags."""

    instruction: str = (
        "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. "
        "The reasoning process MUST BE enclosed within <think> </think> tags. "
        "The final answer MUST BE enclosed within <answer> </answer> tags."
    )
    """Text put after the question; "" adds nothing. The default is EasyR1's, with tags in place of the box."""


class FreeConfig(Config):
    """No form: the whole completion is the answer, for suites whose own prompts say how to answer."""

    instruction: str = ""
    """Text put after the question; by default nothing."""
