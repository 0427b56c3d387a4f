"""Samples completions of a block of prompts: one prefill per prompt, finished completions replaced from the queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from warmrl.api import Completion, Request, Sampler
from warmrl.engine.api import product
from warmrl_transformers.config import TransformersConfig
from warmrl_transformers.draw import Draw, Limits

# Finished completions are dropped when they are at least this share of the batch.
DROP_AT = 1 / 8
# Others enter when rows have stood free for as long as a refill costs: about this many steps of a full batch. So
# short completions are replaced many at a time, and long ones with few rows ever free.
REFILL_STEPS = 2


@dataclass(frozen=True)
class Wanted:
    """One completion to be written: what it answers, and how it is sampled."""

    prompt: Any
    limits: Limits
    uniforms: np.ndarray


class Transformers(Sampler[TransformersConfig]):
    """Samples with the policy's own model: there are no weights to sync.

    The t-th draw of a completion is the t-th number of a Philox generator with the completion's seed, taken
    through the inverse of the cumulative distribution. So a completion does not depend on what else is in the
    batch, up to the rounding of the model's matrix products.
    """

    shares_weights: ClassVar[bool] = True

    def sync(self, policy: Any) -> None:
        self.policy, self.whole = policy, ExitStack()
        self.whole.enter_context(policy.gathered())  # completions end at different steps in different processes

    def rest(self) -> None:
        self.whole.close()
        del self.policy  # whoever loads the next one may need its memory

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        wanted = [
            Wanted(
                prompt,
                Limits(request.max_tokens, request.temperature, request.top_p),
                np.random.Generator(np.random.Philox(key=seed)).random(request.max_tokens),
            )
            for request in requests
            for prompt in [self.policy.encode_prompt(request.messages)]
            for seed in request.seeds
        ]
        if not wanted:
            return [[] for _ in requests]
        with evaluating(self.policy.packed), torch.inference_mode(), self.policy.autocast():
            completions = iter(self._completions(self._write(wanted)))
        return [[next(completions) for _ in request.seeds] for request in requests]

    def _write(self, wanted: Sequence[Wanted]) -> Writing:
        """Write the wanted completions, at most `rows` at once; as some finish, others enter."""
        writing = Writing(self.policy, wanted)
        queue = lots_of(wanted, self.config.rows)
        rows, prompts, owners = self._next(wanted, queue, self.config.rows)
        decoding = self.policy.packed.decode(prompts, owners, max(one.limits.tokens for one in wanted))
        writing.choose(decoding.hidden, rows)
        idle = 0  # rows that stood free, summed over the steps since the last refill
        while True:
            going = (~writing.done[rows]).nonzero().squeeze(1)
            free = self.config.rows - len(going)
            idle += free
            refill = queue and len(queue[0]) <= free and (idle >= REFILL_STEPS * self.config.rows or not len(going))
            if refill or len(rows) - len(going) >= DROP_AT * len(rows):
                decoding.keep(going)
                rows = rows[going]
            if refill:
                entering, prompts, owners = self._next(wanted, queue, free)
                writing.choose(decoding.join(prompts, owners), entering)
                rows, idle = torch.cat([rows, entering]), 0
            if not len(rows):
                return writing
            writing.choose(decoding.step(writing.tokens[rows, writing.count[rows] - 1]), rows)

    def _next(
        self, wanted: Sequence[Wanted], queue: deque[list[int]], free: int
    ) -> tuple[Tensor, list[Any], list[int]]:
        """Take whole lots from the queue: completions `[n]`, their distinct prompts, and which is each one's."""
        rows: list[int] = []
        while queue and len(rows) + len(queue[0]) <= free:
            rows += queue.popleft()
        prompts = {id(wanted[row].prompt): wanted[row].prompt for row in rows}
        number = {name: i for i, name in enumerate(prompts)}
        device = self.policy.device
        owners = [number[id(wanted[row].prompt)] for row in rows]
        return torch.tensor(rows, device=device), [prompt.to(device) for prompt in prompts.values()], owners

    def _completions(self, writing: Writing) -> Iterator[Completion]:
        stops = self.policy.stop_ids
        columns = (writing.tokens, writing.logprobs, writing.entropies)
        for count, *written in zip(writing.count.tolist(), *(column.cpu().numpy() for column in columns), strict=True):
            tokens, logprobs, entropies = (tuple(column[:count].tolist()) for column in written)
            yield Completion(
                tokens=tokens,
                text=self.policy.decode(tokens),
                finish="stop" if tokens[-1] in stops else "length",
                logprobs=logprobs,
                entropies=entropies,
            )


class Writing:
    """What is written so far of N completions of at most T tokens.

    Args:
        policy: Whose head gives the logits, and whose stop tokens end a completion.
        wanted: The completions.
    """

    def __init__(self, policy: Any, wanted: Sequence[Wanted]) -> None:
        device, limits = policy.device, [one.limits for one in wanted]
        head = policy.packed.head_weight
        self.head = head.t() if head.is_cuda else head.float().t()  # see `product`
        self.draw = Draw(limits, [one.uniforms for one in wanted], policy.banned_ids, device)
        self.stops = torch.tensor(sorted(policy.stop_ids), device=device)
        self.limits = torch.tensor([one.tokens for one in limits], device=device)
        self.count = torch.zeros_like(self.limits)
        self.done = torch.zeros_like(self.limits, dtype=torch.bool)
        # [N, T + 1]: a completion that is done and still in the batch writes behind its end.
        self.tokens = torch.zeros(len(wanted), int(self.limits.max()) + 1, dtype=torch.long, device=device)
        self.logprobs, self.entropies = (torch.zeros_like(self.tokens, dtype=torch.float32) for _ in range(2))

    def choose(self, hidden: Tensor, rows: Tensor) -> None:
        """Add a token to the completions `rows` `[R]`, which the hidden states `[R, H]` predict."""
        count, done = self.count[rows], self.done[rows]
        choice = self.draw(product(hidden, self.head), rows, count)
        self.tokens[rows, count] = choice.token
        self.logprobs[rows, count] = choice.logprob
        self.entropies[rows, count] = choice.entropy
        count = count + ~done
        self.count[rows] = count
        self.done[rows] = done | torch.isin(choice.token, self.stops) | (count == self.limits[rows])


def lots_of(wanted: Sequence[Wanted], rows: int) -> deque[list[int]]:
    """What enters the batch together: the completions that share a prompt or images, at most `rows` of them.

    So each prompt and each image is computed once, unless more than `rows` completions share it: then again for
    each lot, which is simpler than to keep its keys and values.
    """
    shared: dict[Any, list[int]] = {}
    for index, one in enumerate(wanted):
        shared.setdefault(one.prompt.image_keys or id(one.prompt), []).append(index)
    return deque(lot[start : start + rows] for lot in shared.values() for start in range(0, len(lot), rows))


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and back to what it was."""
    was = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was)
