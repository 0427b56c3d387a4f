"""What is checked of each model family, on tiny random models against their own forward pass, and `docs/models.md`.

`python tests/model_checks.py > docs/models.md` runs the checks and writes the page; the tests run the same checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from encoded_groups import MIXED, Scores, furthest, gradient_gaps, groups_for, run, some_value
from tiny_models import IMAGE, LINEAR, TEXT, VISION, WITH_IMAGES, randomized, text_model, tiny_model
from torch import Tensor, nn

from warmrl.packed.plan import EncodedGroup
from warmrl.packed.policy import PackedPolicy

TOLERANCE = 1e-5
WIDTH, VOCAB = 64, 61


@dataclass(frozen=True)
class Subject:
    """A model to be checked, and the family whose prompts it takes."""

    name: str
    prompts: str
    build: Callable[[], nn.Module]


def tiny(name: str) -> Subject:
    """A family of `tiny_models`."""
    return Subject(name, name, partial(tiny_model, name))


def text(label: str, name: str, **config: Any) -> Subject:
    """A language model of transformers, with what matters of its config."""

    def build() -> nn.Module:
        torch.manual_seed(0)
        return randomized(text_model(name, WIDTH, VOCAB, 2, **config))

    return Subject(label, "llama", build)


def gemma3() -> nn.Module:
    """Gemma 3 with its vision tower."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {"vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 2}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 24, "patch_size": 6}  # fmt: skip
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, image_token_index=IMAGE, mm_tokens_per_image=4)
    )


def llava(text: dict[str, Any], vision: dict[str, Any]) -> nn.Module:
    """LLaVA with another decoder or vision tower."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    text = {"vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 1, **text}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 24, "patch_size": 6, **vision}  # fmt: skip
    return LlavaForConditionalGeneration(LlavaConfig(text_config=text, vision_config=vision, image_token_index=IMAGE))


PIXTRAL, CLIP = {"model_type": "pixtral"}, {"model_type": "clip_vision_model"}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
SLIDING = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
SHARED = [tiny(name) for name in (*VISION, *TEXT)]
UNSHARED = [
    tiny("qwen3_5"),
    text("qwen3_5_text", "Qwen3_5", head_dim=32, **LINEAR),
    text("gemma3_text", "Gemma3", head_dim=32, **SLIDING),
    text("mistral, sliding window", "Mistral", sliding_window=6),
    text("qwen2, sliding window", "Qwen2", use_sliding_window=True, **SLIDING),
]
REFUSED = [
    Subject("gemma3", "gemma3", gemma3),
    text("gemma2", "Gemma2", head_dim=32),
    text("gpt_oss", "GptOss", head_dim=32, rope_parameters={"rope_type": "default", "rope_theta": 1e4}, **EXPERTS),
    text("mixtral", "Mixtral", **EXPERTS),
    text("qwen3_next", "Qwen3Next", num_experts=4, moe_intermediate_size=32, **LINEAR),
    text("granite", "Granite", logits_scaling=8.0),
    text("cohere", "Cohere", logit_scale=0.25),
    text("phi", "Phi"),
    text("olmo2", "Olmo2"),
    text("llama, dynamic positions", "Llama", rope_parameters=DYNAMIC),
    Subject("llava, Pixtral's vision", "llava", partial(llava, {"model_type": "llama"}, PIXTRAL)),
    Subject("llava, another decoder", "llava", partial(llava, {"model_type": "olmo2"}, CLIP)),
]
SHAPES = {"one image": ((1, 3),), "several": ((3, 2),), "none": ((0, 3),), "mixed rows": MIXED}


def stock(model: nn.Module, groups: list[EncodedGroup]) -> tuple[Scores, dict[str, Tensor]]:
    """What `encoded_groups.run` gives, by the model's own forward, a completion at a time, without warmrl."""
    assert model.config._attn_implementation == "sdpa"
    scores: Scores = {}
    for index, group in enumerate(groups):
        for number, answer in enumerate(group.answers):
            if not len(answer.trained):
                continue
            prompt = group.prompts[answer.view]
            ids = torch.cat([prompt.ids, answer.ids[: answer.fed]])[None]
            kinds = {"mm_token_type_ids": (ids == IMAGE).int()} if "image_grid_thw" in prompt.pixels else {}
            logits = model(input_ids=ids, **prompt.pixels, **kinds).logits[0, len(prompt.ids) - 1 :]
            logprobs = logits[answer.trained].log_softmax(-1)
            logprob = logprobs.gather(1, answer.ids[answer.trained][:, None])[:, 0]
            entropy = -(logprobs.exp() * logprobs).sum(-1)
            some_value(answer.columns["a"][answer.trained], logprob, entropy).backward()
            scores[index, number] = torch.stack([logprob, entropy], 1).detach()
    return scores, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def gap_of_rows(subject: Subject, shape: str) -> float:
    """The largest difference of a log-probability, an entropy or a tensor's gradient (relative) over packed rows."""
    groups = groups_for(subject.prompts, SHAPES[shape], top=50)
    expected = stock(subject.build(), groups)
    policy = PackedPolicy(subject.build())
    found = run(policy.model, groups, share=policy.share)
    return max(furthest(found[0], expected[0]), *gradient_gaps(found[1], expected[1]).values())


def gap_of_decoding(subject: Subject) -> float:
    """The largest difference of a log-probability while given completions are written token by token."""
    drawn = groups_for(subject.prompts, ((1, 3), (0, 2), (2, 4)), top=50)
    groups = [replace(g, answers=tuple(replace(a, train=torch.ones_like(a.train)) for a in g.answers)) for g in drawn]
    expected, _ = stock(subject.build(), groups)
    policy = PackedPolicy(subject.build())
    rows = [(i, j, answer.ids) for i, group in enumerate(groups) for j, answer in enumerate(group.answers)]
    gap, step = 0.0, 0
    with torch.inference_mode():
        decoding = policy.decode([g.prompts[0] for g in groups], [i for i, _, _ in rows], 20)
        while rows:
            logprobs = (decoding.hidden @ policy.head_weight.T).log_softmax(-1)
            for row, (i, j, ids) in enumerate(rows):
                gap = max(gap, abs(float(logprobs[row, ids[step]] - expected[i, j][step, 0])))
            step += 1
            going = [row for row, (_, _, ids) in enumerate(rows) if len(ids) > step]
            if going and len(going) < len(rows):
                decoding.keep(torch.tensor(going))
            rows = [rows[row] for row in going]
            if rows:
                decoding.step(torch.stack([ids[step - 1] for _, _, ids in rows]))
    return gap


CHECKS: dict[str, Callable[[Subject], float]] = {
    **{name: partial(gap_of_rows, shape=name) for name in SHAPES},
    "decoding": gap_of_decoding,
}


def checks_of(subject: Subject) -> list[str]:
    """The checks that apply: those with images need a model that takes some."""
    return list(CHECKS) if subject.prompts in WITH_IMAGES else ["none", "decoding"]


def refusal(subject: Subject) -> str | None:
    """The sentence with which a model is refused."""
    try:
        PackedPolicy(subject.build())
    except ValueError as error:
        return str(error)
    return None


def row(subject: Subject) -> str:
    """A line of the page: what the checks find, or the sentence of the refusal."""
    cells = [subject.name, f"`{type(subject.build()).__name__}`"]
    if subject in REFUSED:
        return f"| {' | '.join([*cells, refusal(subject) or 'WORKS'])} |"
    if subject in UNSHARED:
        cells.append(PackedPolicy(subject.build()).unshared_because or "SHARES")
    gaps = {name: CHECKS[name](subject) for name in checks_of(subject)}
    marks = {name: "exact" if gap <= TOLERANCE else f"{gap:.1e}" for name, gap in gaps.items()}
    return f"| {' | '.join([*cells, *(marks.get(name, '') for name in CHECKS)])} |"


def page(row: Callable[[Subject], str] = row) -> str:
    """`docs/models.md`."""
    parts = [TOP, *map(row, SHARED), "", MIDDLE, *map(row, UNSHARED), "", BOTTOM, *map(row, REFUSED)]
    return "\n".join(part.strip("\n") for part in parts) + "\n"


HEADER = f"{' | '.join(CHECKS)} |\n|---|---{'|---' * len(CHECKS)}|"
TOP = f"""
# Model families

Generated by the tests' own checks: `python tests/model_checks.py > docs/models.md`.

A checkpoint is loaded by transformers and used as it is. Each check compares a tiny random model of the family with
the model's own forward pass, one completion at a time: every log-probability and entropy, and for rows every
parameter's gradient. "exact" means that none differs by more than 1e-5 in float32 (a gradient relative to its norm).
"mixed rows" holds one image, several, none and an image that two prompts share; "decoding" writes completions of
several prompts token by token. Dropout must be 0: with some, a family of the first table falls into the second.

## Completions share their prompt

| family | class | {HEADER}
"""
MIDDLE = f"""

## One completion a row

These work too, but training computes a prompt again for each of its completions.

| family | class | why | {HEADER.replace("|---|", "|---|---|", 1)}
"""
BOTTOM = """

## Refused when the model is loaded

A family that is in none of these tables is refused like `olmo2`.

| family | class | the sentence |
|---|---|---|
"""

if __name__ == "__main__":
    print(page(), end="")
