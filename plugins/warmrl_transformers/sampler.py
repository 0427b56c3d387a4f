"""Samples completions of a block of prompts: one prefill per prompt, one batch, finished completions dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warmrl.api import Completion, Request, Sampler
from warmrl_transformers.config import TransformersConfig
from warmrl_transformers.draw import Choice, Draw, Limits

# Finished completions are dropped when they are at least this share of the batch.
DROP_AT = 1 / 8


@dataclass
class Wanted:
    """One completion to be written: where it belongs and how it is sampled; its tokens as they come."""

    request: int
    place: int
    prompt: int
    limits: Limits
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    stopped: bool = False


class Transformers(Sampler[TransformersConfig]):
    """Samples with the policy's own model; weights are shared, so there is nothing to sync.

    The t-th draw of a completion is the t-th number of a Philox generator with the completion's seed, taken
    through the inverse of the cumulative distribution. So a completion does not depend on what else is in the
    batch, up to the rounding of the model's matrix products.
    """

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        prompts = [self.policy.encode_prompt(request.messages) for request in requests]
        first = {id(prompt): index for index, prompt in reversed(list(enumerate(prompts)))}
        wanted = [
            Wanted(
                index, place, first[id(prompts[index])],
                Limits(request.max_tokens, request.temperature, request.top_p),
                np.random.Generator(np.random.Philox(key=seed)).random(request.max_tokens),
            )
            for index, request in enumerate(requests)
            for place, seed in enumerate(request.seeds)
        ]  # fmt: skip
        with evaluating(self.policy.packed), torch.inference_mode():
            for start in range(0, len(wanted), self.config.rows):
                self._write(prompts, wanted[start : start + self.config.rows])
        groups: list[list[Completion]] = [[] for _ in requests]
        for one in wanted:
            groups[one.request].append(self._completion(one))
        return groups

    def _write(self, prompts: Sequence[Any], wanted: Sequence[Wanted]) -> None:
        """Write the wanted completions token by token, all together."""
        device = self.policy.device
        used = sorted({one.prompt for one in wanted})
        owners = [used.index(one.prompt) for one in wanted]
        longest = max(one.limits.tokens for one in wanted)
        draw = Draw([one.limits for one in wanted], [one.uniforms for one in wanted], self._banned(), device)
        stops = torch.tensor(sorted(self.policy.stop_ids), device=device)
        decoding = self.policy.packed.decode([prompts[i].to(device) for i in used], owners, longest)
        alive = torch.arange(len(wanted), device=device)
        limits = torch.tensor([one.limits.tokens for one in wanted], device=device)
        done = torch.zeros(len(wanted), dtype=torch.bool, device=device)
        steps: list[tuple[Tensor, Choice]] = []
        ends = torch.zeros(len(wanted), dtype=torch.long, device=device)
        for step in range(longest):
            choice = draw(torch.nn.functional.linear(decoding.hidden, self.policy.packed.head_weight), step)
            steps.append((alive, choice))
            over = torch.isin(choice.token, stops) | (limits == step + 1)
            ends[alive[over & ~done]] = step + 1
            done |= over
            finished = int(done.sum())
            if finished == len(done):
                break
            token = choice.token
            if finished >= DROP_AT * len(done):
                going = (~done).nonzero().squeeze(1)
                decoding.keep(going)
                draw.keep(going)
                alive, limits, done, token = alive[going], limits[going], done[going], token[going]
            decoding.step(token)
        record(wanted, steps, ends.tolist(), self.policy.stop_ids)

    def _banned(self) -> list[int]:
        """Tokens never to be sampled."""
        return sorted(self.policy.banned_ids)

    def _completion(self, one: Wanted) -> Completion:
        return Completion(
            tokens=tuple(one.tokens),
            text=self.policy.decode(one.tokens),
            finish="stop" if one.stopped else "length",
            logprobs=tuple(one.logprobs),
            entropies=tuple(one.entropies),
        )


def record(
    wanted: Sequence[Wanted], steps: Sequence[tuple[Tensor, Choice]], ends: Sequence[int], stops: frozenset[int]
) -> None:
    """Put the choices of all steps into the completions they belong to, each up to its end."""
    shape = (len(wanted), len(steps))
    tokens, logprobs, entropies = np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for step, (alive, choice) in enumerate(steps):
        rows = alive.cpu().numpy()
        tokens[rows, step] = choice.token.cpu().numpy()
        logprobs[rows, step] = choice.logprob.cpu().numpy()
        entropies[rows, step] = choice.entropy.cpu().numpy()
    for row, (one, end) in enumerate(zip(wanted, ends, strict=True)):
        one.tokens = tokens[row, :end].tolist()
        one.logprobs = logprobs[row, :end].tolist()
        one.entropies = entropies[row, :end].tolist()
        one.stopped = one.tokens[-1] in stops


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and back to what it was."""
    was = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was)
