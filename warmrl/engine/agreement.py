"""Whether a sampler with weights of its own samples from the policy: tested before it is trained on, then watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from warmrl.domain.errors import ServiceError
from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import images_of
from warmrl.engine.passes import TOKEN_BUDGET, score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes

if TYPE_CHECKING:
    from warmrl.engine.stage import Stage
    from warmrl.packed.plan import Row

# What a test compares: so many prompts with images and as many without, completions of each, tokens of those.
PROMPTS, COMPLETIONS, TOKENS = 4, 4, 256
# Mean difference in nats at which a stage stops. Measured of the usual defects (images expanded twice, stale image
# features): 0.018 to 0.041 on a tiny model in float32, where sampler and trainer agree to 1e-6.
MAX_GAP = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Gap:
    """|log mu(y_t) - log pi(y_t)| over some tokens, mu the sampler and pi the policy: their number, sum, largest."""

    tokens: int = 0
    total: float = 0.0
    largest: float = 0.0

    @classmethod
    def between(cls, sampler: Tensor, policy: Tensor) -> Gap:
        """Of log-probabilities `[n]` of the same tokens."""
        gap = (sampler - policy).abs().double()
        return cls(len(gap), float(gap.sum()), float(gap.max())) if len(gap) else cls()

    def __add__(self, other: Gap) -> Gap:
        return Gap(self.tokens + other.tokens, self.total + other.total, max(self.largest, other.largest))

    @property
    def mean(self) -> float:
        """Over the tokens."""
        return self.total / max(self.tokens, 1)

    def __str__(self) -> str:
        return f"{self.mean:.2g} nats on average (at most {self.largest:.2g}) over {self.tokens} tokens"


class Agreement:
    """The sampler beside the policy that a stage trains. All processes call its methods together.

    A sampler that computes with the policy's own model is left alone.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.tested: list[Gap] = []
        self.gap = Gap()
        self.trained = False  # since the last test

    def carry(self, groups: Sequence[Group]) -> None:
        """Write what the sampler says of each token into `signals["sampler_logprob"]`, and test it.

        It is tested on the first rollout since the stage was started or resumed, and on the first after an update.
        Raises `ServiceError` when it gives no log-probabilities, or others than the policy.
        """
        stage = self.stage
        if stage.sampling.shares_weights:
            return
        for one in (one for group in groups for one in group.completions):
            if one.logprobs is None:
                raise ServiceError(
                    f"Stage `{stage.name}`: the sampler `{stage.sampling.choice.use}` gives no log-probabilities, so "
                    "nothing says whether its weights are the policy's; it can evaluate a policy, and not train one."
                )
            one.signals["sampler_logprob"] = one.logprobs
        if not self.tested or (len(self.tested) == 1 and self.trained):
            self.test(groups)

    def test(self, groups: Sequence[Group]) -> None:
        """Stop if the two differ by more than `sampler.max_gap`, with images or without; else it is a finding."""
        stage = self.stage
        budget = getattr(stage.config, "token_budget", TOKEN_BUDGET)
        shown, text = compared(stage.policy, groups, stage.processes, budget)
        limit = stage.sampling.config.max_gap or MAX_GAP.get(stage.policy.compute, MAX_GAP[torch.bfloat16])
        found = shown + text
        # Not `>`: a difference that is no number is none that is small enough.
        if not (shown.mean <= limit and text.mean <= limit):
            raise ServiceError(self.paragraph(shown, text, limit))
        self.tested.append(found)
        self.trained = False
        start = f"Stage `{stage.name}`: log-probabilities of the sampler `{stage.sampling.choice.use}` and the policy's"
        after = f"; after the first update, by {found}" if len(self.tested) > 1 else ""
        finding = f"{start} differ by {self.tested[0]}{after}."
        stage.findings[:] = [*(one for one in stage.findings if not one.startswith(start)), finding]
        stage.say(finding)

    def paragraph(self, shown: Gap, text: Gap, limit: float) -> str:
        """What is wrong, and what it may be."""
        why = "the weights are not the policy's, or it computes in another precision"
        if shown.mean > limit >= text.mean and text.tokens:
            why = f"only prompts with images are off ({shown.mean:.2g}, without {text.mean:.2g}), so images may be " + (
                "expanded twice, or their features kept from earlier weights"
            )
        elif self.tested:
            why = f"before the first update it was {self.tested[0].mean:.2g}, so new weights or caches may not be taken"
        return (
            f"Stage `{self.stage.name}`: the sampler `{self.stage.sampling.choice.use}` does not sample from the "
            f"policy. Their log-probabilities differ by {shown + text}, and `sampler.max_gap` is {limit:g}. "
            f"Likely: {why}. Nothing was trained on this rollout; mend the sampler, or raise `sampler.max_gap` if "
            "this is as near as its precision comes."
        )

    def add(self, row: Row, logprob: Tensor) -> None:
        """Count a trained row's tokens, whose log-probabilities `[n]` under the policy the first update gives.

        With several updates of a rollout the policy moves on; `old_logprob` is of the one that was sampled from.
        """
        if "sampler_logprob" in row.columns:
            policy = row.columns.get("old_logprob", logprob)
            self.gap += Gap.between(row.columns["sampler_logprob"], policy)

    def taken(self, groups: Sequence[Group]) -> dict[str, float]:
        """What is logged of a step with these groups: the difference over its trained tokens, in all processes."""
        if not any("sampler_logprob" in one.signals for group in groups for one in group.completions):
            return {}
        gap = sum(self.stage.processes.gather([self.gap]), Gap())
        self.gap, self.trained = Gap(), self.trained or gap.tokens > 0
        return {"sampler_gap": gap.mean, "sampler_gap_max": gap.largest} if gap.tokens else {}


def compared(
    policy: Policy, groups: Sequence[Group], processes: Processes, token_budget: int = TOKEN_BUDGET
) -> tuple[Gap, Gap]:
    """The difference on the first tokens of some groups: those with images in their prompts, and those without."""
    probes = [replace(g, completions=[start_of(one) for one in g.completions[:COMPLETIONS]]) for g in groups]
    shown, text = ([g for g in probes if bool(images_of(g.views[0])) is has][:PROMPTS] for has in (True, False))
    score_tokens(policy.uncounted(), [*shown, *text], processes, token_budget, "policy")
    return over(shown), over(text)


def start_of(one: Completion) -> Completion:
    """The first tokens of a completion, of which all are scored."""
    assert one.logprobs is not None
    return Completion(one.tokens[:TOKENS], "", view=one.view, logprobs=one.logprobs[:TOKENS])


def over(groups: Sequence[Group]) -> Gap:
    """The difference over all tokens of scored groups."""
    completions = [one for group in groups for one in group.completions]
    return sum((Gap.between(torch.tensor(one.logprobs), one.signals["policy"]) for one in completions), Gap())
