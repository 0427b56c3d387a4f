"""A reward that differs between the completions of a random model, so that GRPO has something to learn."""

from warmrl.api import Problem, Register, Reward, RewardConfig, hookimpl


class Letters(Reward[RewardConfig]):
    """The share of letters in the text."""

    def score(self, problem: Problem, completions: list[str]) -> list[float]:
        return [sum(map(str.isalpha, text)) / max(len(text), 1) for text in completions]


@hookimpl
def warmrl_register_rewards(register: Register) -> None:
    """Add the reward."""
    register("letters", config=RewardConfig, implementation=f"{__name__}:Letters")
