"""Parts and adapters: what trains and what doesn't, what is handed on, and what a reference is."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import Home, stop_after

from warmrl.domain.errors import Interrupted, UsageError
from warmrl.domain.recipe import ModelTable
from warmrl.domain.sampler import Request
from warmrl.domain.stages import LoRATable
from warmrl.engine.adapters import plain_state
from warmrl.engine.checkpoints import find
from warmrl.engine.passes import score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.trainable import add_adapters, freeze_but
from warmrl.packed.head import TokenLoss
from warmrl.packed.plan import plan
from warmrl.plugin.registry import Registry

LORA = ["stage.rl.lora.rank=4", 'stage.rl.train=["language"]', 'eval.at=["rl"]']


def pocket(**how) -> Policy:
    return Policy.load(find("pocket:base", None, Registry.installed()), **how)


def weights(policy_folder: Path) -> dict[str, torch.Tensor]:
    return load_file(Path(policy_folder) / "model.safetensors")


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def part_of(name: str) -> str:
    return "vision" if "vision_model" in name else "projector" if "connector" in name else "language"


def test_only_the_parts_train(home):
    parts = ["projector", "language"]
    home.run([f"stage.warm.train={json.dumps(parts)}", "stage.warm.steps=1", "stage.rl.steps=1", 'eval.at=["warm"]'])
    start = weights(find("pocket:base", None, Registry.installed()).path)
    moved = changed(start, weights(home.path / "run" / "stages" / "warm" / "policy"))
    assert {part_of(name) for name in moved} == set(parts)


def test_adapters_from_a_recipe(home, tmp_path):
    """Killed and started again it gives the same bytes; only the language model's matrices moved; it is plain."""
    home.run(LORA)
    stages = home.path / "run" / "stages"
    moved = changed(weights(stages / "warm" / "policy"), weights(stages / "rl" / "policy"))
    assert moved
    assert all(part_of(name) == "language" and "_proj." in name for name in moved)
    adapter = json.loads((stages / "rl" / "policy" / "adapter" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["base_model_name_or_path"]) == (4, "warm")
    other = Home(tmp_path / "stopped")
    with pytest.raises(Interrupted):
        other.run(LORA, stopping=stop_after(4))
    assert other.checkpoints()
    other.run(LORA)
    assert other.digests() == home.digests()


def adapted(draw: float = 0.02) -> Policy:
    policy = pocket(trained=False)
    add_adapters(policy, ["language"], LoRATable(rank=4, alpha=4), 3, "base")
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, draw)
    return policy


def groups_of(policy: Policy):
    from parity.subjects import canned_groups

    return canned_groups(policy)


def scores(policy: Policy) -> torch.Tensor:
    groups = groups_of(policy)
    score_tokens(policy, groups, Processes(), 10**6, "found")
    return torch.cat([one.signals["found"] for group in groups for one in group.completions])


def test_what_is_handed_on_is_what_was_trained(tmp_path):
    policy = adapted()
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    policy.save(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in policy.model.state_dict().items())
    merged = Policy.load(find(str(tmp_path), None, Registry.installed()))
    trained = scores(policy)
    gap = float((scores(merged) - trained).abs().max())
    assert gap <= 1e-5 * float(trained.abs().max())
    assert float((trained - scores(pocket())).abs().max()) > 100 * gap


def test_the_reference_is_the_start_with_shared_features():
    """Adapters off is the start, bit by bit, and the vision tower doesn't run again."""
    policy = adapted()
    scores(policy)
    runs = []
    policy.packed.base.model.vision_model.register_forward_pre_hook(lambda *_: runs.append(1))
    assert torch.equal(scores(policy.unadapted()), scores(pocket(trained=False)))
    assert policy.unadapted().packed.share == policy.packed.share
    assert not runs


def test_plain_state_has_the_names_of_the_model():
    assert plain_state(adapted().model).keys() == pocket().model.state_dict().keys()


def test_what_is_not_there_is_named():
    with pytest.raises(UsageError, match="called nothing_proj"):
        add_adapters(pocket(), ["language"], LoRATable(targets=["nothing_proj"]), 0, "base")
    policy = pocket()
    freeze_but(policy, ["projector"])
    assert {part_of(name) for name, p in policy.model.named_parameters() if p.requires_grad} == {"projector"}


def test_a_row_without_what_trains():
    """Only the projector trains and the row has no image: there is nothing to learn, and no crash."""
    policy = pocket()
    freeze_but(policy, ["projector"])
    groups = [group for group in groups_of(policy) if not group.problem.images]
    ((row,),) = plan([policy.encode_group(group) for group in groups], token_budget=10**6)
    policy.packed(row, TokenLoss(lambda logprob, _entropy, _rows: logprob.sum())).loss.backward()
    found = [p.grad for p in policy.model.parameters() if p.requires_grad]
    assert found
    assert all(gradient is not None and not gradient.any() for gradient in found)


def test_sampling_in_bfloat16_is_what_is_trained():
    """Float32 weights used in bfloat16: the sampler's numbers are the training pass's, and images are computed once."""
    from warmrl_transformers.config import TransformersConfig
    from warmrl_transformers.sampler import Transformers

    policy = pocket(table=ModelTable(path="pocket:base", dtype="bfloat16"))
    freeze_but(policy, ["language"])
    groups = groups_of(policy)
    requests = [Request(group.views[0], (1, 2), max_tokens=12, temperature=1.0) for group in groups]
    sampler = Transformers(TransformersConfig(), None)
    sampler.sync(policy)
    drawn = sampler.sample(requests)
    assert not any(module.training for module in policy.model.modules())
    kept = len(policy.packed.features.kept)
    for group, completions in zip(groups, drawn, strict=True):
        group.completions = completions
    with policy.autocast():
        score_tokens(policy, groups, Processes(), 10**6, "found")
    assert len(policy.packed.features.kept) == kept > 0
    own = torch.cat([torch.tensor(one.logprobs) for completions in drawn for one in completions])
    found = torch.cat([one.signals["found"] for group in groups for one in group.completions])
    policy.compute = torch.float32
    score_tokens(policy, groups, Processes(), 10**6, "exact")
    exact = torch.cat([one.signals["exact"] for group in groups for one in group.completions])
    assert 1e-4 < float((own - exact).abs().mean()) < 0.05
    assert float((own - found).abs().mean()) < 0.05
