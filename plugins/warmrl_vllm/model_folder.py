"""What an engine is started on: a policy's configuration, tokenizer and processor in a folder, without weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

# Differ between checkpoints of one architecture, and change nothing that an engine with pushed weights computes.
NOISE = ("_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype", "tokenizer_class")


def describe(policy: Any, folder: Path) -> str:
    """Write the policy's model and processor settings (pixel limits included) there.

    Returns what identifies them: equal for checkpoints that one engine can sample from when weights are pushed.
    """
    base = policy.packed.base
    config = base.config
    if not getattr(config, "architectures", None):
        config.architectures = [type(base).__name__]
    config.save_pretrained(folder)
    policy.processor.save_pretrained(folder)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    parts = {str(file.relative_to(folder)): content(file) for file in files}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def content(file: Path) -> Any:
    """A file's content without what makes no difference."""
    if file.suffix != ".json":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return without_noise(json.loads(file.read_text()))


def without_noise(value: Any) -> Any:
    """Mappings without the keys in `NOISE`, at any depth."""
    if isinstance(value, dict):
        return {key: without_noise(one) for key, one in value.items() if key not in NOISE}
    return [without_noise(one) for one in value] if isinstance(value, list) else value
