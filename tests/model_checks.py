"""What is checked of each model family, on tiny random models against their own forward pass, and `docs/models.md`.

`python tests/model_checks.py > docs/models.md` runs the checks and writes the page; the tests run the same checks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from encoded_groups import MIXED, Scores, furthest, gradient_gaps, groups_for, run, some_value
from tiny_models import IMAGE, TEXT, VISION, randomized, text_model, tiny_model
from torch import Tensor, nn

from warmrl.packed.plan import EncodedGroup
from warmrl.packed.policy import PackedPolicy

TOLERANCE = 1e-5
WIDTH, VOCAB, LAYERS = 64, 61, 2


@dataclass(frozen=True)
class Subject:
    """A model to be checked, and the family whose prompts it takes."""

    name: str
    prompts: str
    build: Callable[[], nn.Module]


def text(label: str, name: str, layers: int = LAYERS, **config: Any) -> Subject:
    """A language model of transformers, with what matters of its config."""
    return Subject(label, "llama", lambda: randomized(text_model(name, WIDTH, VOCAB, layers, **config)))


SHARED = [Subject(name, name, partial(tiny_model, name)) for name in (*VISION, *TEXT)]
UNSHARED = [
    text("mistral, sliding window", "Mistral", sliding_window=6),
    text("qwen2, sliding window", "Qwen2", use_sliding_window=True, sliding_window=6, max_window_layers=1),
    text("gemma3_text", "Gemma3", head_dim=32, sliding_window=6, layer_types=["sliding_attention", "full_attention"]),
]
MOE = {"num_local_experts": 4, "num_experts_per_tok": 2}
REFUSED = [
    Subject("gemma3", "llava", lambda: gemma3()),
    text("gemma2", "Gemma2", head_dim=32),
    text("gpt_oss", "GptOss", head_dim=32, **MOE),
    text("mixtral", "Mixtral", **MOE),
    text("qwen3_next", "Qwen3Next", layer_types=["linear_attention", "full_attention"], num_experts=0),
    text("granite", "Granite", logits_scaling=8.0),
    text("cohere", "Cohere", logit_scale=0.25),
    text("phi", "Phi"),
    text("llama, dynamic rope", "Llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}),
    text("olmo2", "Olmo2"),
]
SHAPES = {"one image": ((1, 3),), "several": ((3, 2),), "none": ((0, 3),), "mixed rows": MIXED}


def gemma3() -> nn.Module:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {"vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": LAYERS}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 24, "patch_size": 6}  # fmt: skip
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, image_token_index=IMAGE, mm_tokens_per_image=4)
    )


def stock(model: nn.Module, groups: list[EncodedGroup]) -> tuple[Scores, dict[str, Tensor]]:
    """What `encoded_groups.run` gives, by the model's own forward, a completion at a time, without warmrl."""
    assert model.config._attn_implementation == "sdpa"
    scores: Scores = {}
    for index, group in enumerate(groups):
        for number, answer in enumerate(group.answers):
            prompt = group.prompts[answer.view]
            ids = torch.cat([prompt.ids, answer.ids])[None]
            kinds = {"mm_token_type_ids": (ids == IMAGE).int()} if "image_grid_thw" in prompt.pixels else {}
            logits = model(input_ids=ids, **prompt.pixels, **kinds).logits[0, len(prompt.ids) - 1 : -1]
            logprobs = logits.log_softmax(-1)[answer.train]
            logprob = logprobs.gather(1, answer.ids[answer.train][:, None])[:, 0]
            entropy = -(logprobs.exp() * logprobs).sum(-1)
            some_value(answer.columns["a"][answer.train], logprob, entropy).backward()
            if len(logprob):
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
    groups = [
        replace(g, answers=tuple(replace(a, train=torch.ones_like(a.train)) for a in g.answers)) for g in drawn
    ]
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
    return list(CHECKS) if subject.prompts in VISION else ["none", "decoding"]


@cache
def gap(subject: Subject, check: str) -> float:
    """What a check finds; remembered, so that the page and the tests run it once."""
    return CHECKS[check](subject)


def refusal(subject: Subject) -> str:
    """The sentence with which a model is refused."""
    try:
        PackedPolicy(subject.build())
    except ValueError as error:
        return str(error)
    return "works"


def cell(subject: Subject, check: str) -> str:
    """A check's outcome in a table."""
    if check not in checks_of(subject):
        return ""
    return "exact" if gap(subject, check) <= TOLERANCE else "WRONG"


def table(subjects: list[Subject], shared: bool) -> list[str]:
    """What the checks found for models that work."""
    lines = [f"| family | class |{'' if shared else ' why |'} {' | '.join(CHECKS)} |"]
    lines.append("|---" * (len(CHECKS) + (2 if shared else 3)) + "|")
    for subject in subjects:
        policy = PackedPolicy(subject.build())
        assert policy.share is shared
        why = [] if shared else [policy.unshared_because]
        row = [subject.name, f"`{type(policy.base).__name__}`", *why, *(cell(subject, check) for check in CHECKS)]
        lines.append(f"| {' | '.join(map(str, row))} |")
    return lines


def page() -> str:
    """`docs/models.md`."""
    refused = [(subject, type(subject.build()).__name__, refusal(subject)) for subject in REFUSED]
    parts = [inspect.cleandoc(TOP), *table(SHARED, shared=True), "", inspect.cleandoc(MIDDLE)]
    parts += [*table(UNSHARED, shared=False), "", inspect.cleandoc(BOTTOM)]
    parts += [f"| {subject.name} | `{name}` | {sentence} |" for subject, name, sentence in refused]
    return "\n".join(line.rstrip() for part in parts for line in part.split("\n")) + "\n"


TOP = """
# Model families

Generated by the tests' own checks: `PYTHONPATH=tests python tests/model_checks.py > docs/models.md`.

A checkpoint is loaded by transformers and used as it is. Each check compares a tiny random model of the family with
the model's own forward pass, one completion at a time: every log-probability and entropy, and for rows every
parameter's gradient. **exact** means that none differs by more than 1e-5 in float32 (gradients relative to their
norm). "mixed rows" holds one image, several, none and an image that two prompts share; "decoding" writes completions
of several prompts token by token.

## Families that share a prompt among its completions

"""
MIDDLE = """
An InternVL or LLaVA checkpoint may have any decoder of the text families. SmolVLM is Idefics3 in another class.

## Families that run one completion a row

They work, and a prompt is computed again for each of its completions in training. The same holds for any model with
dropout: set it to 0 and it shares.

"""
BOTTOM = """
## Refused when the model is loaded

What is in none of these tables is refused, too.

| family | class | the sentence |
|---|---|---|
"""

if __name__ == "__main__":
    print(page(), end="")
