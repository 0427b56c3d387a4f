"""A checkpoint without its weights: the model on torch's `meta` device, from `config.json` alone, and its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from warmrl.domain.errors import UsageError
from warmrl.domain.recipe import ModelTable
from warmrl.engine.checkpoints import locate
from warmrl.engine.policy import Policy
from warmrl.packed.shapes import Shapes, shapes_of
from warmrl.plugin.registry import Registry

CONFIG, TOKENIZER = "config.json", "tokenizer.json"


@dataclass(frozen=True)
class Outline:
    """What is known of a checkpoint: its path as the recipe has it, its files' folder, the model without weights."""

    path: str
    folder: Path
    model: Any
    table: ModelTable

    @cached_property
    def policy(self) -> Policy:
        """A policy that encodes (where its processor is at hand) and computes nothing."""
        return Policy(self.model, self.processor, "meta")

    @cached_property
    def shapes(self) -> Shapes:
        """Its numbers."""
        return shapes_of(self.policy.packed)

    @cached_property
    def processor(self) -> Any:
        """Tokenizer and image processor; None where they are not at hand or cannot be built."""
        table = self.table
        pixels = {key: getattr(table, key) for key in ("min_pixels", "max_pixels") if getattr(table, key)}
        try:
            return AutoProcessor.from_pretrained(self.folder, **pixels)
        except Exception:  # transformers has many ways to say that a file or a package is missing
            return None

    @cached_property
    def vocabulary(self) -> dict[str, int] | None:
        """Every token's id, by `tokenizer.json`; None without that file."""
        file = self.folder / TOKENIZER
        if not file.is_file():
            return None
        table = json.loads(file.read_text(encoding="utf-8"))
        known = table["model"].get("vocab")
        ids = dict(known) if isinstance(known, dict) else {token: i for i, (token, _) in enumerate(known or ())}
        return ids | {one["content"]: one["id"] for one in table.get("added_tokens", ())}


def outline(
    path: str, revision: str | None, table: ModelTable, registry: Registry, *, allow_code: bool = False
) -> Outline | None:
    """The outline of a model path; None for a Hub id whose `config.json` is not to be had.

    Raises `UsageError` for a path that leads nowhere, and for a model that the packed core does not compute.
    """
    folder = locate(path, registry)
    if folder is None:
        folder = from_hub(path, revision)
    if folder is None:
        return None
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} is no checkpoint: it has no {CONFIG}.")
    try:
        found = Outline(path, folder, empty_model(folder, allow_code), table)
        found.shapes  # noqa: B018  # a family that is refused is refused here
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UsageError(f"The checkpoint {path} cannot be used: {error}") from error
    return found


def empty_model(folder: Path, allow_code: bool) -> Any:
    """The model of a folder's `config.json` on the `meta` device: shapes and no numbers."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=allow_code)
    vision = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    family: Any = AutoModelForImageTextToText if vision else AutoModelForCausalLM
    with torch.device("meta"):
        return family.from_config(config, trust_remote_code=allow_code).eval()


def from_hub(path: str, revision: str | None) -> Path | None:
    """Where the small files of a Hub id are; None when they are neither here nor to be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    folder = None
    for name in (CONFIG, TOKENIZER, "tokenizer_config.json", "preprocessor_config.json", "chat_template.json"):
        try:
            folder = Path(hf_hub_download(path, name, revision=revision, etag_timeout=10)).parent
        except RepositoryNotFoundError:
            raise UsageError(f"`{path}` is no folder, no named checkpoint and no repository of the Hub.") from None
        except (HfHubHTTPError, HFValidationError, OSError, ValueError):
            if name == CONFIG:
                return None
    return folder
