"""The sampler `vllm`: prompts as token ids to an engine here or to a server, and completions back."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, Protocol

from warmrl.api import Completion, Image, Request, Sampler
from warmrl_vllm.asks import Ask, Drawn, Prompt, Rules
from warmrl_vllm.config import VLLMConfig


class Backend(Protocol):
    """Where an engine is."""

    def sync(self, policy: Any, changed: bool) -> None:
        """Take a policy's weights, unless they are there and have not `changed`. All processes together."""

    def sample(self, asks: Sequence[Ask], rules: Rules, images: dict[str, Image]) -> list[list[Drawn]]:
        """Completions of a block, in order."""

    def rest(self) -> None:
        """Give memory back."""

    def close(self) -> None:
        """Release everything."""


class VLLM(Sampler[VLLMConfig]):
    """Samples with vLLM: an engine in each process, or servers on this machine (`urls`).

    Each completion has a seed of its own, yet which tokens it draws may change with what else is in the batch, as far
    as vLLM's sums do. On a CPU in float32 the tests find none; in bfloat16 expect some.
    """

    def __init__(self, config: VLLMConfig, processes: Any) -> None:
        super().__init__(config, processes)
        self.held = Held()
        self.backend: Backend
        if config.urls:
            from warmrl_vllm.remote import Remote

            self.backend = Remote(config, processes)
        else:
            from warmrl_vllm.colocated import Colocated

            self.backend = Colocated(config, processes)

    def sync(self, policy: Any) -> None:
        changed, self.policy = self.held.changed(policy), policy
        self.backend.sync(policy, changed)
        self.held.remember(policy)

    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        if not requests:
            return []
        rules = Rules(tuple(sorted(self.policy.stop_ids)), tuple(sorted(self.policy.banned_ids)))
        images = {
            part.key: part
            for request in requests
            for message in request.messages
            for part in message.parts
            if isinstance(part, Image)
        }
        found = self.backend.sample([self._ask(one) for one in requests], rules, images)
        return [[self._completion(one) for one in drawn] for drawn in found]

    def _ask(self, request: Request) -> Ask:
        encoded = self.policy.encode_prompt(request.messages)
        expanded = tuple(encoded.ids.tolist())
        ids = tuple(self.policy.unexpanded(request.messages)) if encoded.image_keys else expanded
        prompt = Prompt(ids, expanded, tuple(encoded.image_keys))
        return Ask(prompt, request.seeds, request.max_tokens, request.temperature, request.top_p)

    def _completion(self, one: Drawn) -> Completion:
        return Completion(
            tokens=one.tokens,
            text=self.policy.decode(one.tokens),
            finish="stop" if one.tokens and one.tokens[-1] in self.policy.stop_ids else "length",
            logprobs=one.logprobs,
        )

    def rest(self) -> None:
        self.backend.rest()

    def close(self) -> None:
        self.backend.close()


class Held:
    """Which weights were synced last."""

    def __init__(self) -> None:
        self.model: Any = lambda: None
        self.versions: tuple[int, ...] = ()

    def changed(self, policy: Any) -> bool:
        """Whether a policy's weights may differ from those: only a frozen model's surely don't."""
        parameters = list(policy.model.parameters())
        frozen = not any(one.requires_grad for one in parameters)
        return not (frozen and self.model() is policy.model and self.versions == versions(parameters))

    def remember(self, policy: Any) -> None:
        """These are synced."""
        self.model, self.versions = weakref.ref(policy.model), versions(policy.model.parameters())


def versions(parameters: Any) -> tuple[int, ...]:
    """torch's count of writes to each parameter."""
    return tuple(one._version for one in parameters)
