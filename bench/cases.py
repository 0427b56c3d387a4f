"""The cases of the bench: workloads, who takes part, and the figures asked of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.compare import Case, Figure, compare
from bench.contenders import DEFAULTS, MATCHED, PACKED, PADDING_FREE
from bench.contenders.packed import Packed, PackedSFT
from bench.contenders.packed_opd import PackedOPD
from bench.contenders.packed_pairs import PackedPairs
from bench.head import head
from bench.least import Lengths, least_flops
from bench.sampling import sampler, step
from bench.shapes import Shape, spread
from bench.workloads import (
    ALONE,
    FOUR,
    LONG,
    MIXED,
    PAIRS,
    TEXT,
    W1,
    W2,
    W3,
    Canned,
    Workload,
    canned,
    describe,
    image_side,
)

TRL = importlib.util.find_spec("trl") is not None


@dataclass(frozen=True)
class Settings:
    """How the bench runs.

    Args:
        shape: The model's.
        scale: Lengths are divided by it.
        repeats: Timed updates of each contender.
        defaults: Whether TRL also runs with its defaults.
    """

    shape: Shape
    scale: float
    repeats: int
    defaults: bool = True

    def compare(self, case: Case, contenders: Sequence[Any], least: int) -> Case:
        """Fill a case with the costs of contenders on the same rollouts; the first is warmrl."""
        own = contenders[0]
        return compare(
            case, contenders, own.rollouts.unique, least, repeats=self.repeats, device=own.subject.device,
            dtype=own.subject.dtype,
        )  # fmt: skip


def shortest(cost: Any) -> float:
    """The time that ratios are taken of."""
    return cost.best


def training(workload: Workload, settings: Settings, *, defaults: bool = True) -> Case:
    """The training pass of GRPO on a workload: warmrl, the padding-free stand-in, TRL matched and as it comes."""
    subject = settings.shape.build(workload, settings.scale, 1)
    rollouts = canned(workload, subject.words, settings.scale)
    own = Packed(subject, rollouts)
    contenders: list[Any] = [own, Packed(subject, rollouts, share=False)]
    if TRL:
        contenders += trl_grpo(subject, rollouts, defaults=defaults and settings.defaults)
    case = Case(workload.name, f"GRPO's training pass, {describe(rollouts)}")
    settings.compare(case, contenders, least(own, rollouts, settings.scale))
    cost = case.costs[0]
    case.figures.append(Figure("tokens computed / unique", cost.tokens, 1.02, "at most"))
    case.figures.append(Figure("least FLOPs / done", cost.least or 0.0, 0.95))
    return case


def trl_grpo(subject: Any, rollouts: Canned, *, defaults: bool) -> list[Any]:
    """TRL's GRPO, matched; and with its defaults."""
    from bench.contenders.trl_trainers import GRPO

    matched = GRPO(subject, rollouts)
    if not defaults:
        return [matched]
    as_it_comes = GRPO(subject, rollouts, defaults=True)
    as_it_comes.sample_as_vllm()
    return [matched, as_it_comes]


def least(own: Packed, rollouts: Canned, scale: float) -> int:
    """Least work of an update."""
    side = image_side(rollouts.workload, scale)
    return least_flops(own.policy.packed.base, own.decoder, Lengths.of(rollouts, side * side))


def w1(settings: Settings) -> Case:
    """W1: 334+100 prompt tokens, completions of 400 up to 1024."""
    case = training(W1, settings)
    case.ask("FLOPs, TRL / warmrl", PACKED, MATCHED, lambda c: c.flops, 3.0)
    case.ask("saved activation bytes, TRL / warmrl", PACKED, MATCHED, lambda c: c.saved, 3.5)
    case.ask("FLOPs, padding-free stand-in / warmrl", PACKED, PADDING_FREE, lambda c: c.flops, 1.9)
    case.ask("time, TRL / warmrl", PACKED, MATCHED, shortest, 3.0, "time")
    case.ask("time, TRL with its defaults / warmrl", PACKED, DEFAULTS, shortest, 4.0, "time")
    return case


def w2(settings: Settings) -> Case:
    """W2: 1000+100 prompt tokens, completions of 300 up to 1024."""
    case = training(W2, settings)
    case.ask("time, TRL / warmrl", PACKED, MATCHED, shortest, 5.0, "time")
    return case


def tuning(workload: Workload, settings: Settings) -> Case:
    """Supervised fine-tuning: G = 1, where there is nothing to share."""
    subject = settings.shape.build(workload, settings.scale, 1)
    rollouts = canned(workload, subject.words, settings.scale)
    own = PackedSFT(subject, rollouts)
    contenders: list[Any] = [own, PackedSFT(subject, rollouts, share=False)]
    if TRL:
        from bench.contenders.trl_tuning import SFT

        contenders.append(SFT(subject, rollouts))
    case = Case(f"SFT, {workload.name}", f"supervised fine-tuning, {describe(rollouts)}")
    return settings.compare(case, contenders, least(own, rollouts, settings.scale))


def sft(settings: Settings) -> Case:
    """Answers of mixed lengths, from a sentence to long reasoning."""
    case = tuning(MIXED, settings)
    case.ask("time, TRL / warmrl", PACKED, MATCHED, shortest, 1.5, "time")
    return case


def dpo(settings: Settings) -> Case:
    """Preference pairs, both with the reference's pass."""
    subject = settings.shape.build(PAIRS, settings.scale, 1)
    rollouts = canned(PAIRS, subject.words, settings.scale)
    reference = settings.shape.build(PAIRS, settings.scale, 1).model
    spread(reference, seed=5)
    own = PackedPairs(subject, rollouts, reference=reference)
    contenders: list[Any] = [own]
    if TRL:
        from bench.contenders.trl_tuning import DPO

        contenders.append(DPO(subject, rollouts, reference=reference))
    case = Case("DPO pairs", f"with the reference's pass, {describe(rollouts)}")
    side = image_side(PAIRS, settings.scale)
    scoring = least_flops(own.policy.packed.base, own.decoder, Lengths.of(rollouts, side * side), train=False)
    work = least(own, rollouts, settings.scale) + scoring
    settings.compare(case, contenders, work)
    case.ask("time, TRL / warmrl", PACKED, MATCHED, shortest, 1.4, "time")
    return case


def opd(settings: Settings) -> Case:
    """On-policy distillation from a teacher twice as wide, four samples a prompt."""
    subject = settings.shape.build(FOUR, settings.scale, 1)
    teacher = settings.shape.build(FOUR, settings.scale, 2).model
    rollouts = canned(FOUR, subject.words, settings.scale)
    own = PackedOPD(subject, rollouts, teacher=teacher)
    contenders: list[Any] = [own]
    if TRL:
        from bench.contenders.trl_tuning import Distillation

        contenders.append(Distillation(subject, rollouts, teacher=teacher))
    side = image_side(FOUR, settings.scale)
    scorer = own.scorer.packed
    scoring = least_flops(scorer.base, scorer.language_model, Lengths.of(rollouts, side * side), train=False)
    case = Case("OPD, G = 4", f"teacher's scores and update on given samples, {describe(rollouts)}")
    work = least(own, rollouts, settings.scale) + scoring
    settings.compare(case, contenders, work)
    case.ask("time, TRL / warmrl", PACKED, MATCHED, shortest, 2.7, "time")
    return case


CASES: dict[str, Callable[[Settings], Case]] = {
    "w1": w1,
    "w2": w2,
    "w3": lambda settings: training(W3, settings, defaults=False),
    "text": lambda settings: training(TEXT, settings, defaults=False),
    "long": lambda settings: training(LONG, settings, defaults=False),
    "sft": sft,
    "alone": lambda settings: tuning(ALONE, settings),
    "dpo": dpo,
    "opd": opd,
    "head": head,
    "step": step,
    "sampler": sampler,
}
if TRL:
    from bench.bf16 import bf16

    CASES["bf16"] = bf16
