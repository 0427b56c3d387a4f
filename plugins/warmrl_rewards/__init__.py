"""The rewards `math`, `geo3k_easyr1`, `choice`, `digit`, `iou`, `format`, `open_ended` and `mixed`."""

from warmrl.api import Register, hookimpl
from warmrl_rewards.config import (
    ChoiceConfig,
    DigitConfig,
    FormatConfig,
    Geo3kEasyR1Config,
    IouConfig,
    MathConfig,
    MixedConfig,
    OpenEndedConfig,
)


@hookimpl
def warmrl_register_rewards(register: Register) -> None:
    """Add them all."""
    register("math", config=MathConfig, implementation="warmrl_rewards.math:Math", revision="2")
    register("geo3k_easyr1", config=Geo3kEasyR1Config, implementation="warmrl_rewards.easyr1:Geo3kEasyR1")
    register("choice", config=ChoiceConfig, implementation="warmrl_rewards.choice:ChoiceReward")
    register("digit", config=DigitConfig, implementation="warmrl_rewards.digit:Digit")
    register("iou", config=IouConfig, implementation="warmrl_rewards.iou:Iou")
    register("format", config=FormatConfig, implementation="warmrl_rewards.format:Format", revision="1")
    register("open_ended", config=OpenEndedConfig, implementation="warmrl_rewards.open_ended:OpenEnded")
    register("mixed", config=MixedConfig, implementation="warmrl_rewards.mixed:Mixed")
