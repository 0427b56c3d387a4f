"""A teacher whose layers are on the disk gives what one in memory gives."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from parity.subjects import canned_groups, load_policy, stage_for, write_checkpoint
from warmrl_opd.config import OPDConfig

from warmrl.api import UsageError
from warmrl.domain.recipe import ModelTable
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.spreading import Spread, layers_by_place
from warmrl.plugin.registry import Registry


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("spread")
    return write_checkpoint(home / "student", 1), write_checkpoint(home / "teacher", 3, "random-teacher")


def scores(folders: tuple[Path, Path], form: str, at: Path, **teacher: Any) -> tuple[Any, list[torch.Tensor]]:
    """The local teacher, and what it says of canned completions in one form."""
    student = load_policy(folders[0])
    table = {"teacher": {"use": "local", "path": str(folders[1]), **teacher}}
    config = OPDConfig.model_validate(table, context={"registry": Registry.installed()})
    stage = stage_for(student, config, at, Processes())
    stage.model = ModelTable(path="")
    found = stage.teacher(config.teacher)
    groups = canned_groups(student)
    found.score(groups, form, 8)
    signals = {"full": "teacher_hidden", "top-k": "teacher_top_logprobs", "sampled": "teacher_logprob"}
    return found, [one.signals[signals[form]] for group in groups for one in group.completions]


@pytest.mark.parametrize("form", ["full", "top-k", "sampled"])
def test_layers_on_the_disk(form: str, folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Hidden states and log-probabilities, with images; the head is a real tensor, some layers' weights are not."""
    plain, expected = scores(folders, form, tmp_path)
    spread, found = scores(folders, form, tmp_path, spread={"cpu": "3MiB"})
    model = spread.policy.model
    assert "on the disk" in layers_by_place(model) and "in host memory" in layers_by_place(model)
    meta = [name for name, weight in model.named_parameters() if weight.is_meta]
    assert meta and all(".layers." in name for name in meta)
    assert torch.equal(spread.head_weight, plain.head_weight)
    gap = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    print(f"{form}: largest difference {gap:.1e}, {layers_by_place(model)}")
    assert gap <= 1e-6
    assert any("on the disk" in one for one in spread.engine.findings)
    assert list(tmp_path.glob(".tmp-offload-*"))
    del model
    spread.release()
    gc.collect()
    assert not list(tmp_path.glob(".tmp-offload-*"))


def test_a_model_that_fits_stays_whole(folders: tuple[Path, Path], tmp_path: Path) -> None:
    spread, _ = scores(folders, "sampled", tmp_path, spread={})
    assert not any(weight.is_meta for weight in spread.policy.model.parameters())
    assert spread.engine.findings[-1].endswith("all on the device.")


def test_what_must_be_on_the_device_must_fit(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"output head take .* GiB, and `spread` leaves .* raise `spread.cpu`"):
        Policy.load(folder_source(folders[1]), trained=False, spread=Spread({"cpu": "100KiB"}, tmp_path))
