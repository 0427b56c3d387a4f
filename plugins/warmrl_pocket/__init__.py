"""The pocket: a tiny vision-language model, its datasets and its weights, on which whole experiments run in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from warmrl.api import Register, UsageError, hookimpl
from warmrl_pocket.config import (
    ChartsConfig,
    GeometryConfig,
    PocketMixedConfig,
    PocketScorerConfig,
    PretrainConfig,
    WriterConfig,
)  # fmt: skip

if TYPE_CHECKING:
    import typer

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED = ("base", "teacher")
RANDOM = ("random", "random-teacher")


@hookimpl
def warmrl_register_datasets(register: Register) -> None:
    """Figures in domain, charts out of it, and problems of every kind."""
    register("pocket_geometry", config=GeometryConfig, implementation="warmrl_pocket.geometry:PocketGeometry")
    register("pocket_charts", config=ChartsConfig, implementation="warmrl_pocket.charts:PocketCharts")
    register("pocket_mixed", config=PocketMixedConfig, implementation="warmrl_pocket.mixed:PocketMixed")


@hookimpl
def warmrl_register_teachers(register: Register) -> None:
    """A scripted reward model, and a writer without a model for pipelines that run in seconds."""
    register("pocket_writer", config=WriterConfig, implementation="warmrl_pocket.writer:PocketWriter", revision="1")
    register("pocket_scorer", config=PocketScorerConfig, implementation="warmrl_pocket.scorer:PocketScorer")


@hookimpl
def warmrl_register_warm_starts(register: Register) -> None:
    """The warm start that makes the pocket models from random weights."""
    register("pocket_pretrain", config=PretrainConfig, implementation="warmrl_pocket.method:PocketPretrain")


@hookimpl
def warmrl_find_checkpoint(path: str) -> Path | None:
    """`pocket:base` and `pocket:teacher` as shipped; `pocket:random` and `pocket:random-teacher`, made here."""
    family, _, name = path.partition(":")
    if family != "pocket":
        return None
    if name in SHIPPED:
        return WEIGHTS / name
    if name in RANDOM:
        from warmrl_pocket.release import random_checkpoint

        return random_checkpoint(name)
    raise UsageError(f"There is no checkpoint `{path}`; the pocket has {', '.join((*SHIPPED, *RANDOM))}.")


@hookimpl
def warmrl_register_commands(app: typer.Typer) -> None:
    """Add `warmrl pocket`."""
    from warmrl_pocket.commands import pocket

    app.add_typer(pocket, name="pocket")
