"""On-policy distillation as a source of groups (the student's samples, scored by the teacher) and a loss."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from torch import Tensor

from warmrl.api import Group, Method
from warmrl.engine.api import (
    Divergence,
    HeadOutput,
    Row,
    TokenLoss,
    TopK,
    asked,
    clipped_loss,
    importance_weights,
    ratios,
)
from warmrl_opd.config import DistillationConfig, OPDConfig
from warmrl_opd.loss import sampled_forward_loss, teacher_advantage

C = TypeVar("C", bound=DistillationConfig)
D = TypeVar("D", bound=OPDConfig)


class Distillation(Method[C], Generic[C]):
    """What all share: the student's samples, and the loss to whoever teaches.

    `by_teacher`: the teacher wrote the step's completions.
    """

    by_teacher = False

    @abstractmethod
    def teacher_head(self) -> Tensor:
        """`[V', Ht]` the teacher's output head, where it tells all."""

    def rollouts(self, step: int) -> list[Group]:
        """The student's completions of a step."""
        config = self.config
        return self.stage.sample(
            self.stage.draw(step),
            config.samples_per_prompt,
            step,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
        )

    def loss(self, batch: Row) -> Divergence | TopK | TokenLoss:
        """The divergence over the vocabulary or over the teacher's top-k and a tail, or its sampled-token form."""
        return self.to_teacher(batch, batch.columns["weight"])

    def to_teacher(self, batch: Row, weight: Tensor, also: TokenLoss | None = None) -> Divergence | TopK | TokenLoss:
        """The divergence with these weights `[N]`, and a token loss beside it."""
        config, columns = self.config, batch.columns
        if config.form == "sampled":
            return added(self.sampled(batch, weight), also)
        direction: Any = "forward" if self.by_teacher else config.divergence
        how: dict[str, Any] = {"direction": direction, "beta": config.beta, "also": also}
        if config.form == "top-k":
            return TopK(columns["teacher_top_ids"], columns["teacher_top_logprobs"], weight, **how)
        return Divergence(columns["teacher_hidden"], self.teacher_head(), weight, **how)

    def sampled(self, batch: Row, weight: Tensor) -> TokenLoss:
        """The form that compares the sampled tokens alone."""
        config, teacher = self.config, batch.columns["teacher_logprob"]

        def fn(logprob: Tensor, _entropy: Tensor, rows: slice) -> Tensor:
            if self.by_teacher:
                return sampled_forward_loss(logprob, teacher[rows], weight[rows])
            old = old_logprob(batch, logprob, rows)
            advantage = teacher_advantage(teacher[rows], old, clamp=config.clamp, floor=config.logprob_floor)
            return self.policy_gradient(batch, logprob, advantage, weight[rows], rows)

        return TokenLoss(fn)

    def policy_gradient(self, batch: Row, logprob: Tensor, advantage: Tensor, weight: Tensor, rows: slice) -> Tensor:
        """The clipped policy gradient of some of a row's tokens; arguments are of these."""
        config, old, importance = self.config, old_logprob(batch, logprob, rows), None
        if config.importance == "truncated" and "sampler_logprob" in batch.columns:
            importance = importance_weights(old, batch.columns["sampler_logprob"][rows], cap=config.importance_cap)
        clips = {"clip_low": config.clip_low, "clip_high": config.clip_high}
        return clipped_loss(ratios(logprob, old), advantage, weight, importance=importance, **clips)

    def token_metrics(self, batch: Row, output: HeadOutput) -> dict[str, float]:
        """In the sampled form the log-ratio of the sampled tokens; with top-k the teacher's mass on the k (coverage)
        and the student's.

        The divergences are logged by the loop.
        """
        columns = batch.columns
        if "teacher_logprob" in columns:
            return {"log_ratio": float((output.logprob - columns["teacher_logprob"]).sum())}
        if "teacher_top_ids" in columns:
            known = columns["teacher_top_ids"] >= 0
            teacher = float((columns["teacher_top_logprobs"].double().exp() * known).sum())
            return {"coverage": teacher, "student_mass": float(output.extras["student_mass"].double().sum())}
        return {}


class OPD(Distillation[D], Generic[D]):
    """Moves the student towards its teacher on the student's own samples, or at first on the teacher's."""

    def prepare(self) -> None:
        """Load the teacher and compare it with the student; refuses a vocabulary that doesn't fit."""
        self.teacher = self.stage.teacher(self.config.teacher)

    def groups(self, step: int) -> list[Group]:
        """The step's completions, with what the teacher says of each token."""
        config = self.config
        self.by_teacher = step < config.teacher_steps
        groups = self.written(step) if self.by_teacher else self.rollouts(step)
        self.teacher.score(groups, config.form, config.top_k or 0)
        return groups

    def written(self, step: int) -> list[Group]:
        """The teacher's completions of a step's problems."""
        config, problems = self.config, self.stage.draw(step)
        how = {"max_tokens": config.max_tokens, "temperature": config.temperature}
        completions = self.teacher.generate(problems, config.samples_per_prompt, **how)
        return [
            Group(problem, written, (asked(problem, self.stage.style),))
            for problem, written in zip(problems, completions, strict=True)
        ]

    def teacher_head(self) -> Tensor:
        """Its own."""
        return self.teacher.head_weight


def old_logprob(batch: Row, logprob: Tensor, rows: slice) -> Tensor:
    """`[n]` log-probabilities under the student that sampled: with one update it is the student itself."""
    return batch.columns["old_logprob"][rows] if "old_logprob" in batch.columns else logprob.detach()


def added(loss: TokenLoss, also: TokenLoss | None) -> TokenLoss:
    """The sum of two token losses."""
    if also is None:
        return loss
    return TokenLoss(lambda logprob, entropy, rows: loss.fn(logprob, entropy, rows) + also.fn(logprob, entropy, rows))
