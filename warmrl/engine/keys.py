"""What identifies a result: the hash of everything that could change it, and of nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from warmrl.domain.config import Choice, Config
from warmrl.domain.stages import ADDED, NOT_SEMANTIC
from warmrl.engine.checkpoints import find
from warmrl.engine.storage import canonical
from warmrl.plugin.registry import Registry

# Raise whenever the same recipe would give other results: the golden-bytes test says when.
ENGINE_REVISION = "1"


def key_of(parts: Mapping[str, Any]) -> str:
    """A short name for a result (80 bits of SHA-256)."""
    return hashlib.sha256(canonical({"engine": ENGINE_REVISION, **parts}).encode()).hexdigest()[:20]


def semantic(value: Any, registry: Registry, skip: frozenset[str] = frozenset()) -> Any:
    """A config as plain values: fields that never change results left out, so later ones at their default; plugins
    with their revisions.

    A teacher's checkpoint is identified by its content, not by its path.
    """
    if isinstance(value, Choice):
        registration = registry.get(value.kind, value.use)
        table = {"use": value.use, "revision": registration.revision, **semantic(value.config, registry)}
        if value.kind == "teacher" and isinstance(path := table.get("path"), str):
            table["path"] = find(path, table.get("model_revision"), registry).fingerprint
        return table
    if isinstance(value, Config):
        return {
            name: semantic(getattr(value, name), registry)
            for name, field in type(value).model_fields.items()
            if name not in skip and field.json_schema_extra != NOT_SEMANTIC
            if field.json_schema_extra != ADDED or getattr(value, name) != field.default
        }
    if isinstance(value, dict):
        return {name: semantic(one, registry) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [semantic(one, registry) for one in value]
    return value
