"""Real optimizer updates of small random models, and the most memory that they take, by `memory_meter`."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from accelerate.state import AcceleratorState
from memory_meter import Meter
from tiny_models import IMAGE
from torch import nn

from warmrl.domain.stages import LoRATable, MethodConfig
from warmrl.engine.processes import Processes
from warmrl.engine.recompute import Recompute
from warmrl.engine.trainable import add_adapters, freeze_but
from warmrl.engine.training import one_update
from warmrl.engine.work import Tally
from warmrl.packed.head import TokenLoss
from warmrl.packed.plan import Answer, EncodedGroup, Prompt
from warmrl.packed.policy import PackedPolicy

WIDTH, VOCAB = 256, 2048
PARTS = ("language", "projector", "vision")


@dataclass(frozen=True)
class Case:
    """One kind of update."""

    family: str = "qwen2_5_vl"
    prompt: int = 40
    completions: tuple[int, ...] = (60, 45, 70, 30)
    groups: int = 2
    side: int = 16  # patches along an image's side
    train: tuple[str, ...] = PARTS
    rank: int = 0
    dtype: str = "float32"
    recompute: bool = False
    budget: int = 10**6
    layers: int = 6


def text_config(layers: int, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "num_hidden_layers": layers,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **more,
    }  # fmt: skip


def idefics3(layers: int, side: int) -> nn.Module:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    vision = {"hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 3, "num_attention_heads": 4,
              "image_size": 6 * side, "patch_size": 6}  # fmt: skip
    config = Idefics3Config(
        vision_config=vision, text_config={"model_type": "llama", **text_config(layers)}, image_token_id=IMAGE,
        scale_factor=2, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    return Idefics3ForConditionalGeneration(config)


def qwen2_5_vl(layers: int, side: int) -> nn.Module:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e4}
    vision = {"depth": 3, "hidden_size": 128, "intermediate_size": 320, "num_heads": 4, "out_hidden_size": WIDTH,
              "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 32,
              "fullatt_block_indexes": [2], "in_channels": 3}  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text_config(layers, rope_parameters=rope), vision_config=vision, image_token_id=IMAGE,
        video_token_id=59, vision_start_token_id=58, vision_end_token_id=57, pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


BUILD = {"idefics3": idefics3, "qwen2_5_vl": qwen2_5_vl}


def prompt_of(case: Case, seed: int) -> Prompt:
    """`prompt` words around one image of side x side patches."""
    draw = torch.Generator().manual_seed(seed)
    words = torch.randint(100, VOCAB, (case.prompt,), generator=draw)
    if not case.side:
        return Prompt(words)
    image = torch.tensor([58, *[IMAGE] * (case.side**2 // 4), 57])
    ids = torch.cat([words[: case.prompt // 2], image, words[case.prompt // 2 :]])
    if case.family == "idefics3":
        pixels = {"pixel_values": torch.randn(1, 1, 3, 6 * case.side, 6 * case.side, generator=draw)}
        pixels["pixel_attention_mask"] = torch.ones(1, 1, 6 * case.side, 6 * case.side, dtype=torch.bool)
    else:
        pixels = {"pixel_values": torch.randn(case.side**2, 96, generator=draw),
                  "image_grid_thw": torch.tensor([[1, case.side, case.side]])}  # fmt: skip
    return Prompt(ids, pixels, (f"image {seed}",))


class Encoded:
    """A group that is encoded already."""

    def __init__(self, case: Case, seed: int) -> None:
        self.problem = SimpleNamespace(id=str(seed))
        draw = torch.Generator().manual_seed(seed)
        self.encoded = EncodedGroup(
            (prompt_of(case, seed),),
            tuple(
                Answer(torch.randint(100, VOCAB, (n,), generator=draw), 0, torch.ones(n, dtype=torch.bool))
                for n in case.completions
            ),
        )


class Measured:
    """A case at work: `update()` is the engine's own, on a policy that trains as a stage's would."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.case = case
        model = BUILD[case.family](case.layers, case.side or 16).eval()
        if case.rank:
            model.to(getattr(torch, case.dtype)).requires_grad_(False)
        self.config = MethodConfig(
            train=list(case.train), lora=LoRATable(rank=case.rank) if case.rank else None, token_budget=case.budget,
            gradient_checkpointing="on" if case.recompute else "off",
        )  # fmt: skip
        self.policy = SimpleNamespace(
            model=model, packed=PackedPolicy(model), device=torch.device("cpu"), use=self.use, counter=None
        )
        self.policy.encode_group = lambda group: group.encoded
        if case.rank:
            add_adapters(self.policy, case.train, self.config.lora, 0, "base")  # type: ignore[arg-type]
        else:
            freeze_but(self.policy, case.train)  # type: ignore[arg-type]
        AcceleratorState._reset_state(reset_partial_state=True)
        processes = Processes(case.dtype)
        self.stage = SimpleNamespace(
            policy=self.policy,
            processes=processes,
            recompute=Recompute(self.policy, self.config.gradient_checkpointing),
            agreement=SimpleNamespace(add=lambda _row, _logprob: None),
            work=Tally(),
        )
        self.method = SimpleNamespace(
            config=self.config, loss=lambda _row: TokenLoss(lambda logprob, _entropy, _rows: -logprob.sum()),
            token_metrics=lambda _row, _output: {},
        )  # fmt: skip
        self.packed = processes.accelerator.prepare_model(self.policy.packed)
        self.optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
        self.groups = [Encoded(case, seed) for seed in range(case.groups)]

    def use(self, model: nn.Module) -> None:
        """What `Policy.use` does."""
        self.policy.model, self.policy.packed = model, PackedPolicy(model)

    def update(self) -> None:
        """One update."""
        one_update(self.stage, self.method, self.packed, self.optimizer, self.groups, 0)  # type: ignore[arg-type]

    def peak(self) -> int:
        """The most bytes that the second update takes, which has the moments of the first."""
        self.update()
        gc.collect()
        self.optimizer.zero_grad(set_to_none=True)
        state = [v for s in self.optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
        held = [*self.policy.model.parameters(), *self.policy.model.buffers(), *state]
        kept = self.policy.packed.features.kept.values()
        pixels = [v for g in self.groups for p in g.encoded.prompts for v in (p.ids, *p.pixels.values())]
        with Meter(*held, *kept, *pixels) as meter:
            self.update()
        return meter.peak
