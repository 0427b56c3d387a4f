"""A whole experiment that takes seconds: a random pocket model, three steps a stage, eight problems a suite."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from warmrl.domain.problem import Image
from warmrl.engine import image_match, recipe_file
from warmrl.engine.entries import Entries
from warmrl.engine.experiment import Experiment
from warmrl.engine.progress import Progress
from warmrl.engine.run_folder import RunFolder

RECIPE = Path(__file__).parent / "engine" / "tiny.toml"
MADE, DRAWN = image_match.thumbnail, dict[str, image_match.Thumbnail]()


@dataclass
class Home:
    """A place for runs of the tiny recipe."""

    path: Path
    recipe: Path = RECIPE

    def run(
        self, sets: Sequence[str] = (), stopping: Callable[[], int] = lambda: 0, progress: Progress | None = None
    ) -> Experiment:
        """Run the recipe here; `stopping` may interrupt it."""
        file = recipe_file.read(self.recipe, sets)
        entries = Entries(file, self.path / "store")
        experiment = Experiment(entries, RunFolder(self.path / "run"), progress or Progress(), stopping)
        with patch.object(image_match, "thumbnail", thumbnail):
            experiment.run()
        return experiment

    def digests(self) -> dict[str, str]:
        """What must be the same bytes in every run of the same recipe."""
        run = self.path / "run"
        files = [run / name for name in ("metrics.jsonl", "ledger.jsonl", "rollouts.jsonl")]
        files += sorted(run.glob("stages/*/policy/model.safetensors"))
        files += sorted(run.glob("evaluations/*/samples.jsonl")) + sorted(run.glob("evaluations/*/scores.json"))
        return {str(one.relative_to(run)): hashlib.sha256(one.read_bytes()).hexdigest() for one in files}

    def checkpoints(self) -> list[Path]:
        """Checkpoints of unfinished stages, oldest first."""
        return sorted(self.path.glob("store/*/checkpoints/step-*"))


def thumbnail(image: Image) -> image_match.Thumbnail:
    """Every run searches three thousand figures for those of its suites; a process of tests draws each once."""
    if image.key not in DRAWN:
        DRAWN[image.key] = MADE(image)
    return DRAWN[image.key]


def stop_after(calls: int, signal: int = 15) -> Callable[[], int]:
    """A `stopping` that gives the signal from the given call on."""
    seen = 0

    def stopping() -> int:
        nonlocal seen
        seen += 1
        return signal if seen >= calls else 0

    return stopping
