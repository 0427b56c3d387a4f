"""Settings of the curators `vlaa` and `perplexity`, and of the counter of reflection."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from warmrl.api import Config, CuratorConfig, RewardConfig, TeacherChoice

Words = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class VlaaConfig(CuratorConfig):
    """Worked answers with reasoning for problems with images, in six steps (VLAA-Thinking; docs/vlaa.md).

    Each writer is a teacher: `server`, `local`, or another that generates text. A column `caption` of the data spares a
    problem the captioner; a column `context` (a scene's description, the problem's text) is told to captioner and
    reasoner.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"sampler"})
    parts: ClassVar[tuple[str, ...]] = ("sft", "rl")

    captioner: TeacherChoice
    """Sees the images and describes them (the paper: GPT-4o)."""
    reasoner: TeacherChoice
    """Reads caption and question alone, and answers with its reasoning in `<think>` (the paper: DeepSeek-R1)."""
    rewriter: TeacherChoice
    """Makes "the description" into "the image", and changes nothing else (the paper: GPT-3.5-turbo)."""
    verifier: TeacherChoice
    """Says whether the answer agrees with the right one (the paper: GPT-3.5-turbo)."""
    unique_images: bool = True
    """Take the first problem of each set of images alone."""
    word_gap: Annotated[int, Field(ge=0)] = 15
    """Most words by which the rewritten text may be longer or shorter (the paper)."""
    words: Words = [
        "wait",
        "again",
        "double-check",
        "hmm",
        "mistake",
        "alternatively",
        "check",
        "i should confirm",
    ]
    """A trace with one of these anywhere, even inside a word, is of the part `rl`, any other of `sft` (the paper)."""
    temperature: Annotated[float, Field(ge=0)] = 0.6
    """Sampling temperature of the reasoner (DeepSeek's advice for R1); the others are greedy."""
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    """Longest text of any writer; one that is cut off is left out."""


class PerplexityConfig(CuratorConfig):
    """The problems whose worked answers are the least (or the most) probable to policies; nothing is changed in them.

    VLAA-Thinking's 25K are those of 126K with the highest mean perplexity under Qwen2-VL-2B and Qwen2.5-VL-3B.
    """

    reads: ClassVar[frozenset[str]] = frozenset()

    keep: Annotated[int, Field(ge=1)]
    """How many."""
    order: Literal["highest", "lowest"] = "highest"
    """Which of them: those of the highest perplexity, or of the lowest."""
    models: list[str] = []
    """The policies (`base`, `stage`, `stage@step`) whose perplexities are averaged; by default the stage's `policy`."""
    also: TeacherChoice | None = None
    """One more model, which need not have the policies' tokens: `{ use = "local", path = "..." }`."""

    def policies(self) -> dict[str, str]:
        """The models."""
        return {f"models[{place}]": name for place, name in enumerate(self.models)}


class ReflectionConfig(RewardConfig):
    """1 when a completion has one of `words`, in any case and even inside a longer word (as the paper counts).

    With `weight = 0` it is counted and trains nothing: `reward/NAME` in the metrics is the share of completions.
    """

    words: Words = ["alternatively", "double-check", "i should check", "wait"]
    """What is looked for (the paper's four)."""


class MetricConfig(Config):
    """No settings: the metric counts the paper's four words."""
