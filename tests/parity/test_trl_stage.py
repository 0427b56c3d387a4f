"""The warm start `trl`: TRL's own loop on the stage's data trains what `sft` trains, resumes, and leaves nothing."""

import math
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from parity.subjects import load_policy, problems, write_checkpoint
from pydantic import ValidationError
from tiny_checkpoints import CHAT_TEMPLATE, needs_torchvision, qwen_tokenizer, write_qwen2_5_vl
from tiny_models import randomized, text_model
from transformers import set_seed
from trl import DPOConfig, SFTTrainer
from warmrl_answers.config import TagsConfig
from warmrl_answers.tags import Tags
from warmrl_sft.config import SFTConfig
from warmrl_sft.method import SFT
from warmrl_trl.arguments import arguments
from warmrl_trl.config import TRLConfig
from warmrl_trl.method import TRL

from warmrl.api import DataError, Text, UsageError, WarmrlError
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
def checkpoints(base, tmp_path_factory):
    """Where a checkpoint of a family is."""
    made = {"pocket": base}

    def at(family):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            made[family] = write_text(folder) if family == "text" else write_qwen2_5_vl(folder)
            made[family] = folder
        return made[family]

    return at


def write_text(folder):
    """A language model with a tokenizer, and no processor."""
    tokenizer = qwen_tokenizer.__wrapped__()  # one that no processor has put its name on
    tokenizer.chat_template = CHAT_TEMPLATE.replace("SYSTEM", "false")
    ends = tokenizer.eos_token_id
    randomized(text_model("Qwen2", 32, len(tokenizer), 1, eos_token_id=ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def no_images(messages):
    return tuple(replace(one, parts=tuple(p for p in one.parts if isinstance(p, Text))) for one in messages)


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
    return {name: value.clone() for name, value in found.items() if not name.endswith(("k_proj.bias", "qkv.bias"))}


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


@pytest.mark.parametrize("family", ["pocket", pytest.param("qwen2_5_vl", marks=needs_torchvision), "text"])
def test_sft_is_ours(checkpoints, data, tmp_path, family):
    """The same draws, tokens, losses and weights as `sft`, up to rounding."""
    base = checkpoints(family)
    data = data if family != "text" else [replace(one, messages=no_images(one.messages)) for one in data]
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
    ours, theirs = weights(ours), weights(theirs)
    apart = {name: float((theirs[name] - value).norm() / (value - start[name]).norm()) for name, value in ours.items()}
    assert max(apart.values()) <= 1e-4


@pytest.mark.parametrize("trainer", ["dpo", "kto"])
@pytest.mark.parametrize("family", [pytest.param("qwen2_5_vl", marks=needs_torchvision), "text"])
def test_pairs_of_other_families(checkpoints, data, tmp_path, family, trainer):
    data = data if family != "text" else [replace(one, messages=no_images(one.messages)) for one in data]
    stage = finished(trl_stage(checkpoints(family), data, tmp_path, trainer=trainer, steps=1))
    assert stage.findings == []
    (row,) = stage.metrics.rows()
    assert row["loss"] == pytest.approx({"dpo": math.log(2), "kto": 0.5}[trainer], abs=1e-5)


def test_other_tokens_are_named(base, data, tmp_path, monkeypatch):
    from warmrl_trl.rows import Rows

    text = Rows.text
    monkeypatch.setattr(Rows, "text", lambda rows, group: text(rows, group) | {"completion": "1"})
    assert "other tokens" in finished(trl_stage(base, data, tmp_path, steps=1)).findings[0]


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


REFUSED = {
    "what TRL has no word for": ({"normalise": "sequence"}, "`normalise` has no counterpart"),
    "a sampling setting": ({"max_tokens": 5}, "`max_tokens` has no counterpart"),
    "another trainer's argument": ({"args": {"beta": 0.1}}, "`args.beta` is for the trainers dpo, kto"),
    "a loss that is not listed": ({"args": {"loss_type": "chunked_nll"}}, "sft has no `chunked_nll` here"),
    "two losses": ({"args": {"loss_type": ["nll", "dft"]}}, "takes one loss, and 2 are named"),
    "weights without losses": ({"trainer": "dpo", "args": {"loss_weights": [1.0]}}, "one weight for each loss"),
    "passes that do not fill a step": ({"args": {"per_device_train_batch_size": 3}}, "must be a multiple"),
    "a lone row of KTO": ({"trainer": "kto", "prompts_per_step": 1}, "two or more a pass"),
    "an argument that is not listed": ({"args": {"push_to_hub": True}}, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    settings, sentence = REFUSED[case]
    with pytest.raises(ValidationError) as refused:
        TRLConfig(**{"trainer": "sft", **SETTINGS, **settings})
    assert sentence in str(refused.value)


def test_data_without_pairs_is_refused(base, data, tmp_path):
    config = TRLConfig(trainer="dpo")
    with pytest.raises(DataError, match="6 have no `rejected`"):
        TRL(config, stage_of(base, [replace(one, rejected=None) for one in data], config, tmp_path))


def test_several_processes_are_refused(base, data, tmp_path):
    stage = trl_stage(base, data, tmp_path)
    stage.processes = SimpleNamespace(world=2)
    with pytest.raises(UsageError, match="on one process here, and this run has 2"):
        TRL(stage.config, stage)


def test_without_trl_it_says_how_to_get_it(base, data, tmp_path, monkeypatch):
    stage = trl_stage(base, data, tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'warmrl\[trl\]'"):
        TRL(stage.config, stage)


def test_a_loss_that_is_no_number_ends_the_stage(base, data, tmp_path, monkeypatch):
    """The weights it made are in no checkpoint."""
    monkeypatch.setattr(
        SFTTrainer, "compute_loss", lambda self, model, *_, **__: sum(p.sum() for p in model.parameters()) * math.nan
    )
    with pytest.raises(WarmrlError, match="step 1: TRL's loss is nan"):
        finished(trl_stage(base, data, tmp_path, checkpoint_every=1))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_arguments():
    """Each setting under TRL's name for it; the losses as each trainer takes them."""
    stage = SimpleNamespace(
        model=ModelTable(path="x", dtype="bfloat16"), processes=SimpleNamespace(device=torch.device("cpu")),
        rng=lambda _: np.random.default_rng(0),
    )  # fmt: skip
    config = TRLConfig(
        trainer="dpo", prompts_per_step=8, learning_rate=2e-3, schedule="linear", warmup=0.2, betas=(0.8, 0.9),
        weight_decay=0.3, max_grad_norm=0.5, args={"loss_type": "ipo", "beta": 0.3, "per_device_train_batch_size": 2},
    )  # fmt: skip
    found = arguments(config, stage, Path("x"), 10)
    settings = DPOConfig(**found)
    assert (settings.loss_type, settings.beta) == (["ipo"], 0.3)
    assert (settings.per_device_train_batch_size, settings.gradient_accumulation_steps) == (2, 4)
    assert (settings.learning_rate, settings.lr_scheduler_type, settings.warmup_steps) == (2e-3, "linear", 2)
    assert (settings.adam_beta1, settings.adam_beta2, settings.adam_epsilon) == (0.8, 0.9, 1e-8)
    assert (settings.weight_decay, settings.max_grad_norm, settings.bf16) == (0.3, 0.5, True)
    flat = arguments(config.model_copy(update={"schedule": "constant"}), stage, Path("x"), 10)
    assert flat["lr_scheduler_type"] == "constant_with_warmup"
