"""On-policy distillation as a source of groups (the student's samples, scored by the teacher) and a loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from warmrl.api import Group, Method
from warmrl.engine.api import Divergence, HeadOutput, Row, TokenLoss, TopK
from warmrl_opd.config import OPDConfig
from warmrl_opd.loss import sampled_token_loss


class OPD(Method[OPDConfig]):
    """Moves the student towards its teacher on the student's own samples."""

    def prepare(self) -> None:
        """Load the teacher and compare it with the student; refuses a vocabulary that doesn't fit."""
        self.teacher = self.stage.teacher(self.config.teacher)

    def groups(self, step: int) -> list[Group]:
        """The student's completions, with what the teacher says of each token."""
        config = self.config
        groups = self.stage.sample(
            self.stage.draw(step),
            config.samples_per_prompt,
            step,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
        )
        self.teacher.score(groups, config.form, config.top_k or 0)
        return groups

    def loss(self, batch: Row) -> Divergence | TopK | TokenLoss:
        """The divergence over the vocabulary or over the teacher's top-k and a tail, or its sampled-token form."""
        config, columns = self.config, batch.columns
        if config.divergence != "sampled":
            how: dict[str, Any] = {"direction": config.divergence, "beta": config.beta}
            if config.top_k is None:
                return Divergence(columns["teacher_hidden"], self.teacher.head_weight, columns["weight"], **how)
            return TopK(columns["teacher_top_ids"], columns["teacher_top_logprobs"], columns["weight"], **how)

        def fn(logprob: Tensor, _entropy: Tensor, rows: slice) -> Tensor:
            old = columns["old_logprob"][rows] if "old_logprob" in columns else logprob.detach()
            teacher, weight = columns["teacher_logprob"][rows], columns["weight"][rows]
            return sampled_token_loss(logprob, old, teacher, weight, clamp=config.clamp)

        return TokenLoss(fn)

    def token_metrics(self, batch: Row, output: HeadOutput) -> dict[str, float]:
        """In the sampled form the log-ratio of the sampled tokens, with top-k the teacher's mass on them (coverage).

        The divergences are logged by the loop.
        """
        columns = batch.columns
        if "teacher_logprob" in columns:
            return {"log_ratio": float((output.logprob - columns["teacher_logprob"]).sum())}
        if "teacher_top_ids" in columns:
            known = columns["teacher_top_ids"] >= 0
            return {"coverage": float((columns["teacher_top_logprobs"].double().exp() * known).sum())}
        return {}
