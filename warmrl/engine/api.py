"""What a plugin's implementation may call. Each name is imported when it is first used: this module costs nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmrl.engine.advantage import group_advantages
    from warmrl.engine.grading_pool import GradingPool, Outcome
    from warmrl.engine.importance import importance_weights
    from warmrl.engine.keys import semantic
    from warmrl.engine.objective import MAX_LOG_RATIO, clipped_loss, ratios
    from warmrl.engine.passes import hidden_states, score_tokens
    from warmrl.engine.policy import Policy
    from warmrl.engine.randomness import generator, seed_of
    from warmrl.engine.replies import Cache, identity
    from warmrl.engine.spreading import layers_by_place
    from warmrl.engine.stage import Stage
    from warmrl.engine.storage import writable
    from warmrl.engine.suites import asked
    from warmrl.packed.head import Divergence, HeadOutput, SequenceLoss, TokenLoss, TopK, product
    from warmrl.packed.plan import Row
    from warmrl.stats.estimators import collision, distinct_at_k, pass_at_k, pass_hat_k, plugin_entropy_biased
    from warmrl.stats.majority import maj_at_k

_WHERE = {
    "Cache": "warmrl.engine.replies",
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
    "asked": "warmrl.engine.suites",
    "MAX_LOG_RATIO": "warmrl.engine.objective",
    "clipped_loss": "warmrl.engine.objective",
    "ratios": "warmrl.engine.objective",
    "collision": "warmrl.stats.estimators",
    "distinct_at_k": "warmrl.stats.estimators",
    "generator": "warmrl.engine.randomness",
    "group_advantages": "warmrl.engine.advantage",
    "hidden_states": "warmrl.engine.passes",
    "importance_weights": "warmrl.engine.importance",
    "identity": "warmrl.engine.replies",
    "layers_by_place": "warmrl.engine.spreading",
    "maj_at_k": "warmrl.stats.majority",
    "pass_at_k": "warmrl.stats.estimators",
    "pass_hat_k": "warmrl.stats.estimators",
    "plugin_entropy_biased": "warmrl.stats.estimators",
    "product": "warmrl.packed.head",
    "score_tokens": "warmrl.engine.passes",
    "seed_of": "warmrl.engine.randomness",
    "semantic": "warmrl.engine.keys",
    "writable": "warmrl.engine.storage",
}

__all__ = [
    "MAX_LOG_RATIO",
    "Cache",
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
    "clipped_loss",
    "collision",
    "distinct_at_k",
    "generator",
    "group_advantages",
    "hidden_states",
    "identity",
    "importance_weights",
    "layers_by_place",
    "maj_at_k",
    "pass_at_k",
    "pass_hat_k",
    "plugin_entropy_biased",
    "product",
    "ratios",
    "score_tokens",
    "seed_of",
    "semantic",
    "writable",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module `warmrl.engine.api` has no `{name}`")
