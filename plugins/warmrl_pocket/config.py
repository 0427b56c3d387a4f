"""Recipe tables of the pocket: its datasets, its writer and scorer, and the warm start that trains its models."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from warmrl.api import Config, DatasetConfig, MethodConfig, TeacherConfig

SIZES = {"train": 3000, "validation": 300, "test": 300}


class PocketConfig(DatasetConfig):
    """Settings of a pocket dataset."""

    split: Literal["train", "validation", "test"] = "train"
    """Splits share no label combination; the pocket models were trained on figures of `train`."""
    size: Annotated[int | None, Field(ge=1)] = None
    """How many problems to draw; by default 3000, and 300 for `validation` and `test`."""
    seed: int = 0
    """Draws other problems of the same splits."""
    kinds: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Only these kinds; empty: all of them."""

    @property
    def length(self) -> int:
        """How many problems there are after `limit`."""
        size = self.size or SIZES[self.split]
        return size if self.limit is None else min(size, self.limit)


class GeometryConfig(PocketConfig):
    """Plane figures: rectangle area and perimeter, circle diameter, triangle angle and perimeter, segment."""


class ChartsConfig(PocketConfig):
    """Three-bar charts: sum, maximum, range. Out of domain for the pocket models."""


class WriterConfig(TeacherConfig):
    """Stands in for the four writers of the curator `vlaa`, on the pocket's figures and without a model.

    What it writes depends on the request alone. At the shares below it fails, so that every step has something to do.
    """

    role: Literal["captioner", "reasoner", "rewriter", "verifier"]
    """Whom it stands in for."""
    empty: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Captions that are empty."""
    wrong: Annotated[float, Field(ge=0, le=1)] = 0.12
    """Reasonings that end in a wrong answer."""
    untagged: Annotated[float, Field(ge=0, le=1)] = 0.04
    """Reasonings without `<think>`."""
    reflective: Annotated[float, Field(ge=0, le=1)] = 0.35
    """Reasonings that calculate twice, with `so` in between: the pocket's way to say `wait`."""
    verbose: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Rewritten texts that are far too long."""

    def gives(self) -> tuple[Literal["generates"], ...]:
        """Text."""
        return ("generates",)


class PocketMixedConfig(PocketConfig):
    """Problems of every kind that the reward `mixed` routes by: counts, choices, geometry, boxes and readings."""

    kinds: Annotated[tuple[Literal["digit", "choice", "math", "iou", "open"], ...], Field(strict=False)] = ()
    """Only these kinds; empty: all of them, each as likely."""


class PocketScorerConfig(TeacherConfig):
    """A scripted reward model for the open-ended problems of `pocket_mixed`."""

    def gives(self) -> tuple[Literal["rates"], ...]:
        """Rates."""
        return ("rates",)


class Phase(Config):
    """One phase of pretraining: so many steps under a cosine schedule of its own."""

    steps: Annotated[int, Field(ge=0)]
    """Optimizer steps."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Peak; reached after 20 steps, then a cosine to zero."""
    images: Annotated[int, Field(ge=0)] = 0
    """Images of scattered labels in a step, read by a probe."""
    readings: Annotated[int, Field(ge=0)] = 0
    """Images of scattered numbers in a step, to be written down."""
    sentences: Annotated[int, Field(ge=0)] = 0
    """Rows of text in a step: equations, and sentences with the words of questions."""
    clean: Annotated[int, Field(ge=0)] = 0
    """Figures in a step with traces that are nearly always right."""
    mixed: Annotated[int, Field(ge=0)] = 0
    """Figures in a step with traces of many styles, often untagged or wrong."""
    direct: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of mixed traces that answer without reasoning."""


class PretrainConfig(MethodConfig):
    """Trains a randomly initialised pocket model in five phases: glyphs, reading, text, clean traces, mixed traces."""

    reads: ClassVar[frozenset[str]] = frozenset()

    data: str | list[str] = Field(default_factory=list)
    """Unused: figures are drawn as training goes, from label combinations of the split `train`."""
    steps: Annotated[int, Field(ge=1)] = 2100
    """The sum of the phases' steps."""
    betas: Annotated[tuple[float, float], Field(strict=False)] = (0.9, 0.98)
    """AdamW's betas; a short memory of squares suits runs of hundreds of steps."""
    glyphs: Phase = Phase(steps=250, learning_rate=3e-3, images=32)
    """Reading digits off cells. Without it nothing else learns to look."""
    reading: Phase = Phase(steps=300, learning_rate=3e-3, readings=40)
    """Writing down the numbers in an image, right after the glyphs: once text has been learnt it is far slower."""
    text: Phase = Phase(steps=400, learning_rate=3e-3, readings=10, sentences=40)
    """Arithmetic, and the words of questions; reading goes on, or it is forgotten."""
    clean: Phase = Phase(steps=950, learning_rate=3e-3, readings=8, sentences=12, clean=24)
    """Right traces; the rest goes on, or the few label combinations would be learnt by heart instead of read."""
    mixed: Phase = Phase(steps=200, learning_rate=9e-4, readings=4, sentences=8, mixed=28)
    """What makes a base rather than a teacher."""

    @model_validator(mode="after")
    def _steps_are_the_phases(self) -> PretrainConfig:
        total = sum(phase.steps for phase in self.phases.values())
        if self.steps != total:
            raise ValueError(f"`steps` is the sum of the phases' steps, {total} here")
        return self

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases in order."""
        names = ("glyphs", "reading", "text", "clean", "mixed")
        return {name: getattr(self, name) for name in names}

    def locate(self, step: int) -> tuple[str, int]:
        """The phase that a step belongs to, and the step's number inside it, from zero."""
        ends = accumulate(phase.steps for phase in self.phases.values())
        for (name, phase), end in zip(self.phases.items(), ends, strict=True):
            if step < end:
                return name, step - end + phase.steps
        raise ValueError(f"step {step} is beyond the last phase")
