"""The warm start `trl`: TRL's own loop on the stage's data trains what `sft` trains, resumes, and leaves nothing."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from parity.subjects import load_policy, problems, write_checkpoint
from pydantic import ValidationError
from transformers import set_seed
from warmrl_answers.config import TagsConfig
from warmrl_answers.tags import Tags
from warmrl_sft.config import SFTConfig
from warmrl_sft.method import SFT
from warmrl_trl.config import TRLConfig
from warmrl_trl.method import TRL

from warmrl.api import DataError, UsageError
from warmrl.domain.errors import Interrupted
from warmrl.domain.recipe import ModelTable
from warmrl.domain.stages import LoRATable
from warmrl.engine.processes import Processes
from warmrl.engine.stage import Stage
from warmrl.engine.trainable import add_adapters
from warmrl.plugin.registry import Registry

IMAGES = (1, 2, 0, 1, 1, 1)
SETTINGS = {"steps": 3, "prompts_per_step": 4, "learning_rate": 1e-3, "gradient_checkpointing": "off"}
WORSE = "<think>\nno\n</think>\n<answer>-1</answer>"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("trl"), seed=1)


@pytest.fixture(scope="module")
def data():
    return [replace(one, rejected=WORSE) for one in problems(IMAGES)]


@pytest.fixture(autouse=True)
def _nothing_left_in(tmp_path_factory, monkeypatch):
    """Nothing in the current directory."""
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    yield
    assert not list(here.iterdir())


def stage_of(base, data, config, folder, **given):
    unused = None
    return Stage(
        "warm", config, 17, load_policy(base), data, Tags(TagsConfig(instruction="Think first.")), unused,
        unused, unused, ModelTable(path=str(base)), Processes(), Registry.installed(), folder,
        reference=lambda: load_policy(base), **given,
    )  # fmt: skip


def trl_stage(base, data, folder, stopping=lambda: 0, **settings):
    config = TRLConfig(**SETTINGS | {"trainer": "sft", **settings})
    return stage_of(base, data, config, folder, stopping=stopping)


def finished(stage):
    """The stage, run to its end."""
    (TRL if isinstance(stage.config, TRLConfig) else SFT)(stage.config, stage).run()
    return stage


def weights(stage):
    """Every weight but the biases of keys, whose gradient is zero but for rounding (softmax cancels them)."""
    found = stage.policy.model.state_dict()
    return {name: value.clone() for name, value in found.items() if not name.endswith("k_proj.bias")}


def after_a_kill(base, data, folder, **settings):
    """Stopped by a signal behind its second step, then run again."""
    seen = []
    with pytest.raises(Interrupted) as stopped:
        finished(trl_stage(base, data, folder, lambda: seen.append(1) or 15 * (len(seen) == 2), **settings))
    assert stopped.value.exit_code == 143
    return finished(trl_stage(base, data, folder, **settings))


def test_the_process_is_as_it_was():
    from warmrl_trl.trainer import undisturbed

    def now():
        return random.random(), np.random.rand(), float(torch.rand(())), dict(AcceleratorState._shared_state)

    Processes()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = now()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    with undisturbed():
        set_seed(3)
        AcceleratorState._reset_state(reset_partial_state=True)
    assert now() == expected


def test_sft_is_ours(base, data, tmp_path):
    """The same draws, tokens, losses and weights as `sft`, up to rounding."""
    start = weights(stage_of(base, data, SFTConfig(), tmp_path))
    ours = finished(stage_of(base, data, SFTConfig(**SETTINGS, weight_decay=0.0), tmp_path / "ours"))
    theirs = finished(trl_stage(base, data, tmp_path / "trl", weight_decay=0.0))
    assert theirs.findings == []  # no word of other tokens
    assert theirs.ledger.rows() == ours.ledger.rows()
    assert theirs.rollouts.rows() == ours.rollouts.rows()
    for row, expected in zip(theirs.metrics.rows(), ours.metrics.rows(), strict=True):
        assert row.keys() - expected.keys() == {"mean_token_accuracy"}
        numbers = {name: value for name, value in expected.items() if name != "stage"}
        assert {name: row[name] for name in numbers} == pytest.approx(numbers, rel=1e-5)
    moved = {name: value - start[name] for name, value in weights(ours).items()}
    apart = {name: value - weights(ours)[name] for name, value in weights(theirs).items()}
    assert max(float(one.abs().max()) for one in apart.values()) <= 1e-4
    share = {name: float(apart[name].norm() / moved[name].norm()) for name in moved}
    print(max(share, key=share.get), max(share.values()), max(float(one.abs().max()) for one in apart.values()))


@pytest.mark.parametrize("trainer", ["sft", "dpo", "kto"])
def test_a_resumed_stage_is_the_same(base, data, tmp_path, trainer):
    settings = {"trainer": trainer, "schedule": "cosine", "warmup": 0.34, "checkpoint_every": 1}
    whole = finished(trl_stage(base, data, tmp_path / "whole", **settings))
    again = after_a_kill(base, data, tmp_path / "again", **settings)
    assert again.findings == []
    for name in ("metrics", "ledger", "rollouts"):
        assert getattr(again, name).rows() == getattr(whole, name).rows()
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(whole).items())
    assert [row["step"] for row in whole.metrics.rows()] == [1, 2, 3]
    assert not list(tmp_path.rglob(".tmp-*"))
    print(whole.metrics.rows())


@pytest.mark.parametrize("trainer", ["sft", "dpo"])
def test_adapters(base, data, tmp_path, trainer):
    lora = LoRATable(rank=2, alpha=4)
    stage = trl_stage(base, data, tmp_path, trainer=trainer, lora=lora, steps=1)
    add_adapters(stage.policy, ["language"], lora, 3, "base")
    before = stage.policy.model.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    finished(stage)
    after = stage.policy.model.state_dict()
    assert after.keys() == before.keys()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed and all(".lora_" in name for name in changed)
