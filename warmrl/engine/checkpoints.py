"""Where a model path leads: a folder, a named checkpoint of a plugin, a Hub id, or `RUN#stage@step`."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.domain.names import CheckpointName
from warmrl.engine.run_place import RUN_FILE
from warmrl.engine.storage import canonical, sha256
from warmrl.plugin.registry import Registry

# Files of a checkpoint that change what it does: weights, settings, chat template, vocabulary.
SEMANTIC = (".safetensors", ".json", ".jinja", ".model", ".txt")

# What makes a folder one of adapters.
ADAPTER = "adapter_config.json"
# How the Hub names a repository; a few old ones have no owner.
HUB_ID = r"([A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*"


@dataclass(frozen=True)
class Source:
    """A checkpoint that can be loaded: its folder or Hub id, revision, and what identifies its weights."""

    path: str
    revision: str | None
    fingerprint: str
    adapter: str | None = None
    """The folder of adapters to merge into it (peft)."""

    @property
    def bytes(self) -> int:
        """Size of the weights."""
        return sum(file.stat().st_size for file in Path(self.path).glob("*.safetensors"))


def find(path: str, revision: str | None, registry: Registry) -> Source:
    """Resolve a model path. Raises `UsageError` naming what was tried."""
    folder = locate(path, registry)
    source = from_hub(path, revision) if folder is None else folder_source(folder)
    return with_base(source, registry) if (Path(source.path) / ADAPTER).is_file() else source


def with_base(source: Source, registry: Registry) -> Source:
    """Adapters (peft) with the model that they name, into which they are merged. Raises `UsageError`."""
    folder = Path(source.path)
    try:
        settings = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        named, revision = settings["base_model_name_or_path"], settings.get("revision")
    except (OSError, ValueError, KeyError, TypeError):
        named = None
    if not isinstance(named, str) or not (folder / "adapter_model.safetensors").is_file():
        raise UsageError(
            f"{folder} holds adapters that cannot be used: they are `adapter_model.safetensors`, and {ADAPTER} names "
            "their model as `base_model_name_or_path`. Export or save them again."
        )
    there = locate(named, registry)
    if there is not None and (there / ADAPTER).is_file():
        raise UsageError(
            f"{folder} holds adapters on adapters ({named}), of which only the outer ones would be merged. Merge the "
            "inner ones into their model first, and give that as `base_model_name_or_path`."
        )
    base = find(named, revision, registry)
    fingerprint = hashlib.sha256(f"{base.fingerprint}\0{source.fingerprint}".encode()).hexdigest()
    return Source(base.path, base.revision, fingerprint, str(folder))


def locate(path: str, registry: Registry) -> Path | None:
    """The folder of a model path, nothing of it read; None for what can only be a Hub id. Raises `UsageError`."""
    if "#" in path:
        return from_run(path)
    if Path(path).is_dir():
        return Path(path)
    if re.fullmatch(r"[a-z_]+:[A-Za-z0-9_.-]+", path):
        folder = registry.manager.hook.warmrl_find_checkpoint(path=path)
        if folder is None:
            raise UsageError(f"`{path}` is a checkpoint of no installed plugin; see `warmrl plugin list`.")
        return folder
    if not re.fullmatch(HUB_ID, path):
        raise UsageError(f"`{path}` is no folder, no named checkpoint, and cannot be a Hub id (`owner/name`).")
    return None


def weights_here(path: str, revision: str | None, registry: Registry) -> bool:
    """Whether a checkpoint's weights are on this machine; nothing is downloaded. Raises `UsageError`."""
    folder = locate(path, registry)
    if folder is None:
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(path, revision=revision, local_files_only=True))
        except (OSError, ValueError):
            return False
    return any(folder.glob("*.safetensors"))


def from_run(path: str) -> Path:
    """The policy of a finished stage of a run."""
    try:
        name = CheckpointName.parse(path)
    except ValueError as error:
        raise UsageError(f"{error}.") from None
    run = Path(name.run or "")
    stages = stages_of(run, path)
    if name.stage not in stages:
        known = ", ".join(stages) or "none yet"
        raise UsageError(f"`{path}`: the run has no finished stage `{name.stage}`; there are: {known}.")
    entry, name = run / stages[name.stage]["store"], handed_on(name, stages[name.stage])
    folder = entry / ("policy" if name.step is None else f"policies/step-{name.step:06d}")
    if not folder.is_dir() and name.step is None:
        raise UsageError(f"`{path}`: the stage `{name.stage}` made no policy; a curator makes data.")
    if not folder.is_dir():
        raise UsageError(f"`{path}`: that step was not kept; name it in `eval.at` and run the recipe again.")
    return folder


def handed_on(name: CheckpointName, stage: dict[str, Any]) -> CheckpointName:
    """What a checkpoint of a run is: what the stage's hand-off rule chose, where it has one. Raises `UsageError`."""
    if name.step is not None or name.end or "hands_on" not in stage:
        return name
    if stage["hands_on"] is None:
        raise UsageError(
            f"`{name}`: the stage has a hand-off rule, which has chosen no checkpoint; name its last one, "
            f"`{name}@end`, or a step."
        )
    return replace(CheckpointName.parse(stage["hands_on"]), run=name.run)


def stages_of(run: Path, path: str) -> dict[str, dict[str, Any]]:
    """A run's finished stages. Raises `UsageError`."""
    try:
        return json.loads((run / RUN_FILE).read_text())["stages"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"`{path}`: {run} holds no warmrl run; give the run's folder before `#`.") from None


def key_in_run(path: str) -> str:
    """What identifies the policy of `RUN#stage@step` in the run's own recipe: the stage's key, and the step."""
    name = CheckpointName.parse(path)
    stage = stages_of(Path(name.run or ""), path)[name.stage]
    name = handed_on(name, stage)
    return stage["key"] + ("" if name.step is None else f"@{name.step}")


def folder_source(folder: Path) -> Source:
    """A transformers folder, identified by the content of its weights and settings."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no checkpoint: there is no such folder.")
    files = sorted(f for f in folder.iterdir() if f.suffix in SEMANTIC and f.name != "manifest.json")
    if not any(file.suffix == ".safetensors" for file in files):
        raise UsageError(f"{folder} is no checkpoint: it has no .safetensors file.")
    stamps = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return Source(str(folder), None, content_hash(stamps))


@lru_cache(maxsize=64)
def content_hash(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Hash of names and contents; remembered while size and time of each file stay the same."""
    entries = {Path(name).name: sha256(Path(name)) for name, _, _ in stamps}
    return hashlib.sha256(canonical(entries).encode()).hexdigest()


def from_hub(path: str, revision: str | None) -> Source:
    """A Hub id, its revision pinned to a commit. Raises `UsageError` when it can't be reached or found."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        local = snapshot_download(path, revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError, ValueError):
        try:
            local = snapshot_download(path, revision=revision, etag_timeout=10)
        except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            raise UsageError(
                f"`{path}` is no folder and no named checkpoint, and as a Hub id it could not be had "
                f"({type(error).__name__}). Give an existing folder, or a Hub id that this machine can reach."
            ) from None
    commit = Path(local).name
    return Source(local, commit, f"{path}@{commit}")
