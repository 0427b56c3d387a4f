"""Settings of `dpo`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from warmrl.api import MethodConfig


class DPOConfig(MethodConfig):
    """Direct preference optimisation on pairs (`Problem.solution` over `Problem.rejected`), beside the likelihood of
    the chosen answers: SPECS's cold start (methods C.2), and MPO's mix.
    """

    reads: ClassVar[frozenset[str]] = frozenset()
    whole_groups: ClassVar[bool] = True
    samples_per_prompt: ClassVar[int] = 2
    """The two sides of a pair."""

    steps: Annotated[int, Field(ge=0)] = 0
    """Batches of pairs; 0 takes as many as `epochs` gives."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Passes over the pairs, when `steps` is 0. One: SPECS."""
    prompts_per_step: Annotated[int, Field(ge=1)] = 64
    """Pairs drawn for each step (SPECS: 64, at the learning rate of 1e-6)."""
    loss: Literal["dpo", "mpo"] = "dpo"
    """What is made of a pair's two log-ratios: `dpo` the logistic loss of their margin; `mpo` 0.8 of that and 0.2 of
    BCO's, which asks of each side by itself to be good or bad (Wang et al. 2024, arXiv:2411.10442)."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Scale of the rewards beta x (log pi - log reference): how dear it is to leave the start. 0.1: the default of
    LLaMA-Factory (SPECS's trainer; its own value isn't known) and of TRL."""
    nll_weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight lambda of the chosen answers' negative log-likelihood per token (SPECS and MPO: 1). Without it the chosen
    answers lose probability too, only less than the rejected."""
    normalise: Literal["token", "sequence"] = "sequence"
    """That likelihood's mean: over pairs of their token means (LLaMA-Factory), or over all chosen tokens of an update
    (TRL). The preference's part is a mean over pairs of summed log-probabilities either way."""
    reward_shift: bool = True
    """`mpo`: BCO's rewards are taken relative to the mean of all rewards in the steps before (the paper's reward
    shift); false takes them as they are (TRL 1.16)."""
    max_length: Annotated[int | None, Field(ge=1)] = None
    """Pairs of which prompt (images included) and longer side are together more tokens than this are left out, and
    counted in the report; None takes all. Nothing is ever cut short."""

    def scoring_passes(self) -> int:
        """One, over all pairs before the first step: the reference's."""
        return 1
