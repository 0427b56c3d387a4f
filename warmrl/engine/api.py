"""What a plugin's implementation may call. Each name is imported when it is first used: this module costs nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmrl.engine.grading_pool import GradingPool, Outcome
    from warmrl.engine.passes import hidden_states, score_tokens
    from warmrl.engine.policy import Policy
    from warmrl.engine.randomness import generator, seed_of
    from warmrl.engine.sampling import asked
    from warmrl.engine.spreading import layers_by_place
    from warmrl.engine.stage import Stage
    from warmrl.packed.head import Divergence, HeadOutput, SequenceLoss, TokenLoss, TopK, product
    from warmrl.packed.plan import Row
    from warmrl.stats.estimators import distinct_at_k, pass_at_k

_WHERE = {
    "Divergence": "warmrl.packed.head",
    "GradingPool": "warmrl.engine.grading_pool",
    "HeadOutput": "warmrl.packed.head",
    "Outcome": "warmrl.engine.grading_pool",
    "Policy": "warmrl.engine.policy",
    "Row": "warmrl.packed.plan",
    "SequenceLoss": "warmrl.packed.head",
    "Stage": "warmrl.engine.stage",
    "TokenLoss": "warmrl.packed.head",
    "TopK": "warmrl.packed.head",
    "asked": "warmrl.engine.sampling",
    "distinct_at_k": "warmrl.stats.estimators",
    "generator": "warmrl.engine.randomness",
    "hidden_states": "warmrl.engine.passes",
    "layers_by_place": "warmrl.engine.spreading",
    "pass_at_k": "warmrl.stats.estimators",
    "product": "warmrl.packed.head",
    "score_tokens": "warmrl.engine.passes",
    "seed_of": "warmrl.engine.randomness",
}

__all__ = [
    "Divergence",
    "GradingPool",
    "HeadOutput",
    "Outcome",
    "Policy",
    "Row",
    "SequenceLoss",
    "Stage",
    "TokenLoss",
    "TopK",
    "asked",
    "distinct_at_k",
    "generator",
    "hidden_states",
    "layers_by_place",
    "pass_at_k",
    "product",
    "score_tokens",
    "seed_of",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module `warmrl.engine.api` has no `{name}`")
