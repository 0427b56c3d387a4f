"""Pretraining of a pocket model in five phases; every step is a pure function of the weights and its own generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from warmrl_pocket import traces
from warmrl_pocket.batches import CLASSES, Batch, figure_batch, glyph_batch, reading_batch, text_batch
from warmrl_pocket.build import IMAGE
from warmrl_pocket.config import Phase, PretrainConfig

WARMUP = 20  # steps of a phase over which its learning rate rises

Draws = Callable[[int], np.random.Generator]  # the generator of a step
OnStep = Callable[[int, dict[str, float]], None]  # called after step n (counted from one) with what it measured


def make_optimizer(model: nn.Module, config: PretrainConfig) -> torch.optim.AdamW:
    """One AdamW for all phases; the learning rate is set before each step."""
    return torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    )


def pretrain(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainConfig,
    draws: Draws,
    optimizer: torch.optim.Optimizer,
    on_step: OnStep,
    first: int = 0,
) -> None:
    """Train `model` in place from step `first` (counted from zero) to the end of the last phase."""
    model.train()
    for step in range(first, config.steps):
        name, at = config.locate(step)
        phase = config.phases[name]
        rate = learning_rate(phase, at)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = phase_loss(phase, model, tokenizer, draws(step))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        for parameter in model.parameters():
            # A phase that doesn't reach a parameter still gives it optimizer state, so that a checkpoint has it all.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        measured = {f"loss/{sort}": loss.item() for sort, loss in losses.items()}
        on_step(step + 1, {**measured, "grad_norm": norm.item(), "learning_rate": rate})
    model.eval()


def learning_rate(phase: Phase, at: int) -> float:
    """A linear rise over 20 steps, then a cosine to zero at the phase's end."""
    decay = 0.5 * (1 + math.cos(math.pi * at / phase.steps))
    return phase.learning_rate * min(1.0, (at + 1) / WARMUP) * decay


def phase_loss(
    phase: Phase, model: nn.Module, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The losses of one step of a phase, one for each sort of row it has; their sum is minimised."""
    losses = {}
    if phase.images:
        losses["glyphs"] = glyph_loss(model, tokenizer, *glyph_batch(rng, phase.images))
    if phase.readings:
        losses["readings"] = next_token_loss(model, reading_batch(rng, phase.readings, tokenizer))
    if phase.sentences:
        losses["sentences"] = next_token_loss(model, text_batch(rng, phase.sentences, tokenizer))
    for name, write in (("clean", traces.clean), ("mixed", partial(traces.mixed, direct=phase.direct))):
        if rows := getattr(phase, name):
            losses[name] = next_token_loss(model, figure_batch(rng, rows, tokenizer, write))
    return losses


def glyph_loss(model: nn.Module, tokenizer: PreTrainedTokenizerBase, pixels: Tensor, digits: Tensor) -> Tensor:
    """Cross-entropy of a probe that reads two characters off each cell's image feature.

    pixels: (B, 1, 3, 96, 96); digits: (B, 16, 2) classes. The probe is the embedding of the digits' tokens, for the
    first character against the feature turned by half its width. So the model can later copy what it sees into what
    it writes, and there is nothing beside the model that a checkpoint would have to keep.
    """
    features = torch.stack(list(model.model.get_image_features(pixels).pooler_output))
    ids = tokenizer.convert_tokens_to_ids([*"0123456789", IMAGE, "?"])
    probe = model.get_input_embeddings().weight[ids]
    first = F.linear(torch.roll(features, features.shape[-1] // 2, -1), probe)
    logits = torch.stack([first, F.linear(features, probe)], dim=-2)
    return F.cross_entropy(logits.reshape(-1, CLASSES), digits.reshape(-1))


def next_token_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean negative log-likelihood of the tokens that a batch marks."""
    logits = model(input_ids=batch.tokens, pixel_values=batch.pixels, use_cache=False).logits
    keep = batch.train[:, 1:]
    return F.cross_entropy(logits[:, :-1][keep], batch.tokens[:, 1:][keep])
