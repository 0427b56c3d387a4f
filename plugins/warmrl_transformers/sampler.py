"""Samples completions of a block of prompts: one prefill per prompt, one batch, finished completions dropped."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
    prompt: int
    limits: Limits
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)


class Transformers(Sampler[TransformersConfig]):
    """Samples with the policy's own model; weights are shared, so there is nothing to sync.

    The t-th draw of a completion is the t-th number of a Philox generator with the completion's seed, taken
    through the inverse of the cumulative distribution. So a completion does not depend on what else is in the
    batch, up to the rounding of the model's matrix products.
    """

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        prompts = [self.policy.encode_prompt(request.messages) for request in requests]
        first: dict[int, int] = {}  # requests with the same prompt share its prefill
        wanted = [
            Wanted(
                index, first.setdefault(id(prompts[index]), index),
                Limits(request.max_tokens, request.temperature, request.top_p),
                np.random.Generator(np.random.Philox(key=seed)).random(request.max_tokens),
            )
            for index, request in enumerate(requests)
            for seed in request.seeds
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
        policy = self.policy
        used = sorted({one.prompt for one in wanted})
        limits = torch.tensor([one.limits.tokens for one in wanted], device=policy.device)
        longest = int(limits.max())
        owners = [used.index(one.prompt) for one in wanted]
        decoding = policy.packed.decode([prompts[i].to(policy.device) for i in used], owners, longest)
        draw = Draw([one.limits for one in wanted], [one.uniforms for one in wanted], policy.banned_ids, policy.device)
        stops = torch.tensor(sorted(policy.stop_ids), device=policy.device)
        alive = torch.arange(len(wanted), device=policy.device)
        done = torch.zeros_like(alive, dtype=torch.bool)
        steps: list[tuple[Tensor, Choice]] = []
        while True:
            choice = draw(torch.nn.functional.linear(decoding.hidden, policy.packed.head_weight), len(steps))
            steps.append((alive, choice))
            done |= torch.isin(choice.token, stops) | (limits == len(steps))
            finished, token = int(done.sum()), choice.token
            if finished == len(done):
                break
            if finished >= DROP_AT * len(done):
                going = (~done).nonzero().squeeze(1)
                decoding.keep(going)
                draw.keep(going)
                alive, limits, done, token = alive[going], limits[going], done[going], token[going]
            decoding.step(token)
        record(wanted, steps, policy.stop_ids)

    def _completion(self, one: Wanted) -> Completion:
        return Completion(
            tokens=tuple(one.tokens),
            text=self.policy.decode(one.tokens),
            finish="stop" if one.tokens[-1] in self.policy.stop_ids else "length",
            logprobs=tuple(one.logprobs),
            entropies=tuple(one.entropies),
        )


def record(wanted: Sequence[Wanted], steps: Sequence[tuple[Tensor, Choice]], stops: Collection[int]) -> None:
    """Put the choices of all steps into the completions they belong to, each up to its stop or its limit.

    A finished completion may stay in the batch for some steps; what is chosen for it there is left out.
    """
    shape = (len(wanted), len(steps))
    tokens, logprobs, entropies = np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for step, (alive, choice) in enumerate(steps):
        rows = alive.cpu().numpy()
        tokens[rows, step] = choice.token.cpu().numpy()
        logprobs[rows, step] = choice.logprob.cpu().numpy()
        entropies[rows, step] = choice.entropy.cpu().numpy()
    stopped = np.isin(tokens, sorted(stops))
    for row, one in enumerate(wanted):
        stop = int(stopped[row, : one.limits.tokens].argmax())
        end = stop + 1 if stopped[row, stop] else one.limits.tokens
        one.tokens = tokens[row, :end].tolist()
        one.logprobs = logprobs[row, :end].tolist()
        one.entropies = entropies[row, :end].tolist()


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and back to what it was."""
    was = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was)
