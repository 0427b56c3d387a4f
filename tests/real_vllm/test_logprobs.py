"""A real vLLM's log-probabilities are the trainer's: before and after updates, with images, with adapters."""

import gc

import PIL.Image
import pytest
import tiny_checkpoints
import torch
from warmrl_vllm.config import VLLMConfig
from warmrl_vllm.engine import Engine
from warmrl_vllm.sampler import VLLM

from warmrl.api import Group, Image, Message, Problem, Request, ServiceError, Text
from warmrl.domain.stages import LoRATable
from warmrl.engine.checkpoints import find, folder_source
from warmrl.engine.passes import score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.sharding import full, laid_out
from warmrl.engine.trainable import add_adapters
from warmrl.plugin.registry import Registry

EXACT = 1e-5
CONFIG = VLLMConfig(eager=True, memory=0.05, max_model_len=512)


def picture(key: str, width: int, height: int = 80) -> Image:
    draw = torch.Generator().manual_seed(width)
    pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=draw).numpy()
    return Image(key, lambda: PIL.Image.fromarray(pixels))


PICTURES = picture("one", 90), picture("two", 130), picture("three", 56)


def requests(samples: int = 3, question: str = "Find x.") -> list[Request]:
    """Prompts with no image, one and two, the text before and after them."""
    views = [(Text(question),), (PICTURES[0], Text(question)), (PICTURES[1], Text("and"), PICTURES[2], Text(question))]
    return [
        Request((Message("user", parts),), tuple(range(7 * i, 7 * i + samples)), 16) for i, parts in enumerate(views)
    ]


def gap(sampler: VLLM, policy: Policy, asked: list[Request]) -> float:
    """Mean absolute difference of the sampler's log-probabilities from the trainer's."""
    groups = [
        Group(Problem(str(i), one.messages, ""), completions)
        for i, (one, completions) in enumerate(zip(asked, sampler.sample(asked), strict=True))
    ]
    score_tokens(policy, groups, Processes(), 4096, "trainer")
    drawn = [one for group in groups for one in group.completions]
    assert all(len(one.tokens) == len(one.logprobs) and not policy.banned_ids & set(one.tokens) for one in drawn)
    differences = [(torch.tensor(one.logprobs) - one.signals["trainer"]).abs() for one in drawn]
    return float(torch.cat(differences).mean())


def disturb(policy: Policy, seed: int) -> None:
    """Really different weights, in every part."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            noise = 0.3 * full(parameter).abs().mean() * torch.randn(parameter.shape, generator=draw)
            parameter.add_(laid_out(noise, parameter))


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def running(request, tmp_path_factory):
    folder = getattr(tiny_checkpoints, f"write_{request.param}")(tmp_path_factory.mktemp(request.param))
    sampler = VLLM(CONFIG, Processes())
    yield sampler, folder
    sampler.close()
    gc.collect()


def test_before_and_after_three_updates(running, record_property):
    sampler, folder = running
    policy = Policy.load(folder_source(folder))
    gaps = []
    for update in range(4):
        if update:
            disturb(policy, update)
        sampler.sync(policy)
        gaps.append(gap(sampler, policy, requests()))
        sampler.rest()
    print(f"gaps of {folder.name}: {gaps}")
    assert max(gaps) <= EXACT


def test_adapters_are_merged(running):
    sampler, folder = running
    policy = Policy.load(folder_source(folder), trained=False)
    add_adapters(policy, ["language", "projector", "vision"], LoRATable(rank=4, alpha=8), 0, "base")
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    sampler.sync(policy)
    found = gap(sampler, policy, requests())
    print(f"gap of {folder.name} with adapters: {found}")
    assert found <= EXACT
    plain = Policy.load(folder_source(folder), trained=False)
    assert gap(sampler, plain, requests()) > 0.01, "the adapters change nothing, so this test would see nothing"


def test_a_frozen_policy_is_sent_once(running, monkeypatch):
    sampler, folder = running
    policy = Policy.load(folder_source(folder), trained=False)
    loads = []
    load = Engine.load
    monkeypatch.setattr(Engine, "load", lambda engine, weights: (loads.append(1), load(engine, weights)))
    for _ in range(2):
        sampler.sync(policy)
        assert gap(sampler, policy, requests()) <= EXACT
    assert len(loads) == 1
    disturb(policy, 5)
    sampler.sync(policy)
    assert gap(sampler, policy, requests()) <= EXACT
    assert len(loads) == 2


def test_greedy_and_top_p(running):
    sampler, folder = running
    policy = Policy.load(folder_source(folder), trained=False)
    sampler.sync(policy)
    (one, _, _) = requests()
    greedy = Request(one.messages, (1, 2), 8, temperature=0.0)
    narrow = Request(one.messages, (3, 4), 8, top_p=1e-6)
    first, second = sampler.sample([greedy, narrow])
    assert len({completion.tokens for completion in [*first, *second]}) == 1


def test_what_went_wrong_elsewhere_would_be_seen(running, monkeypatch):
    """Stale image features, images expanded twice, a sync that changes nothing, and one that leaves weights out."""
    sampler, folder = running
    policy = Policy.load(folder_source(folder))
    sampler.sync(policy)
    sampler.sample(requests())
    with monkeypatch.context() as broken:
        broken.setattr(Engine, "forget", lambda engine: engine.llm.reset_prefix_cache())
        disturb(policy, 11)
        sampler.sync(policy)
        assert gap(sampler, policy, requests()) > 100 * EXACT
    with monkeypatch.context() as broken:
        broken.setattr(Policy, "unexpanded", lambda self, messages: self.encode_prompt(messages).ids.tolist())
        sampler.sync(policy)
        with pytest.raises(ServiceError, match="images and transformers"):
            sampler.sample(requests())
    with monkeypatch.context() as broken:
        broken.setattr(Engine, "load", lambda engine, weights: engine.forget())
        disturb(policy, 12)
        sampler.sync(policy)
        assert gap(sampler, policy, requests()) > 100 * EXACT
    with monkeypatch.context() as broken:
        weights = Policy.weights
        broken.setattr(
            Policy,
            "weights",
            lambda self: ((n, w) for n, w in weights(self) if not n.endswith("layers.1.mlp.up_proj.weight")),
        )
        with pytest.raises(ServiceError, match="keep their old values"):
            sampler.sync(policy)


def test_a_text_model(tmp_path):
    policy, sampler = Policy.load(text_model(tmp_path)), VLLM(CONFIG, Processes())
    try:
        for update in range(2):
            sampler.sync(policy)
            found = gap(sampler, policy, requests()[:1])
            print(f"gap of a text model: {found}")
            assert found <= EXACT
            disturb(policy, update)
    finally:
        sampler.close()


def test_idefics3_expands_into_rows_and_columns():
    """The pocket with image splitting, as real checkpoints have it; vLLM 0.30 fails without, and that is said."""
    policy = Policy.load(find("pocket:base", None, Registry.installed()))
    sampler = VLLM(VLLMConfig(eager=True, memory=0.05), Processes())
    policy.processor.image_processor.do_image_splitting = True
    policy.processor.image_processor.do_resize = True
    policy.processor.image_processor.size["longest_edge"] = 192
    try:
        for update in range(2):
            sampler.sync(policy)
            found = gap(sampler, policy, requests(question="area ?")[:2])
            print(f"gap of idefics3: {found}")
            assert found <= EXACT
            disturb(policy, update)
    finally:
        sampler.close()


def text_model(folder):
    """A tiny Qwen3 with the Qwen tokenizer."""
    from tiny_models import text_model as model_of

    tokenizer = tiny_checkpoints.qwen_tokenizer.__wrapped__()
    tokenizer.chat_template = "{%- set SYSTEM = false -%}" + tiny_checkpoints.CHAT_TEMPLATE
    torch.manual_seed(0)
    model = model_of("Qwen3", 64, len(tokenizer), 2, head_dim=32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder_source(folder)
