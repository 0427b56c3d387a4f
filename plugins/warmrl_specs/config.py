"""Settings of the curator `self_distill`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from warmrl.api import AnswerStyle, CuratorConfig, TeacherChoice
from warmrl_specs.corruptions import CORRUPTIONS


class SelfDistillConfig(CuratorConfig):
    """Preference pairs of a policy's own answers, both sides right, that differ in form (SPECS; methods C.1).

    Chosen: a right, well-formed answer of `chosen_from` whose reasoning leads to it. Rejected: a right answer with one
    of five format corruptions, drawn uniformly. `policy` is the base, whose answers are corrupted and which the cold
    start then trains. The answer style is `tags`.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"grader", "sampler"})

    chosen_from: str = "zero"
    """The checkpoint (`stage`, `stage@step`) whose answers are chosen: the paper's short GRPO on the base."""
    rejected_from: Literal["base", "chosen", "both"] = "base"
    """Whose right answer is corrupted: the base's own (`policy`; the paper's figure), the chosen one itself (one of
    its notes), or the base's where it has one and else the chosen one (`both`)."""
    coupled: bool = False
    """The ablation: the rejected side is a wrong answer of the base as it is, so that a pair differs in what it says
    too."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 8
    """Answers drawn per problem from each policy. Not published."""
    keep: Annotated[int, Field(ge=1)] = 1
    """Most pairs made per problem, of the first answers drawn. Not published."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature of both policies. Not published."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest answer."""
    consistent: bool = True
    """Whether the reasoning of a chosen answer must lead to it; without, the paper's average falls by 1.9 points."""
    judge: TeacherChoice | None = None
    """The teacher that says so, of each right and well-formed answer, as in the paper (Gemini 2.5 Flash). Without one
    a rule does: the last conclusion of the reasoning is compared with the answer (`docs/specs.md`)."""

    def policies(self) -> dict[str, str]:
        """The policy whose answers are chosen."""
        return {"chosen_from": self.chosen_from}

    def objection(self, style: AnswerStyle[Any]) -> str | None:
        """An answer style that one of the corruptions leaves well formed."""
        whole = style.wrap("1 + 1 = 2", "2")
        kept = [name for name, corrupt in CORRUPTIONS.items() if style.well_formed(corrupt(whole))]
        if not kept or self.coupled:
            return None
        return (
            "`self_distill` takes think and answer tags from an answer, and in the answer style of this recipe it "
            f"stays well formed without (`{kept[0]}`). Set `answer.use` to `tags`, or `coupled = true`, which corrupts "
            "nothing."
        )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.coupled and self.rejected_from != "base":
            raise ValueError("`coupled` rejects a wrong answer of the base; leave `rejected_from` at `base`")
        if self.judge is not None and not self.consistent:
            raise ValueError("`judge` has nothing to say with `consistent = false`; leave one of them out")
        if self.keep > self.samples_per_prompt:
            raise ValueError("`keep` is more than `samples_per_prompt`; no problem has so many answers")
        return self
