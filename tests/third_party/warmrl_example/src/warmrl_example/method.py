"""The warm start `rejection_sft`."""

from warmrl.api import Group, Method
from warmrl.engine.api import Row, TokenLoss
from warmrl_example.config import RejectionSFTConfig


class RejectionSFT(Method[RejectionSFTConfig]):
    """L = -sum_t w_t log pi(y_t | x, y_<t) over the policy's own completions that the grader finds right."""

    def groups(self, step: int) -> list[Group]:
        """The policy's samples; what is wrong is not trained on."""
        config, stage = self.config, self.stage
        sampling = {"max_tokens": config.max_tokens, "temperature": config.temperature}
        groups = stage.sample(stage.draw(step), config.samples_per_prompt, step, **sampling)
        for group in groups:
            verdicts = stage.grader.score(group.problem, [one.text for one in group.completions])
            for one, verdict in zip(group.completions, verdicts, strict=True):
                one.train = (verdict == 1.0,) * len(one.tokens)
        return groups

    def informative(self, group: Group) -> bool:
        """Whether any completion is right."""
        return any(one.trained_tokens for one in group.completions)

    def loss(self, batch: Row) -> TokenLoss:
        """Negative log-likelihood of what is trained on."""
        weight = batch.columns["weight"]
        return TokenLoss(lambda logprob, _entropy, rows: -(weight[rows] * logprob).sum())
