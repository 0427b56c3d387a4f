"""One-file plugins beside a recipe: loaded only when a person has trusted exactly these bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

from warmrl.domain.errors import PluginError


def trust_file() -> Path:
    """Where trusted hashes are kept: `$WARMRL_CONFIG`, or `~/.config/warmrl`."""
    folder = os.environ.get("WARMRL_CONFIG")
    return (Path(folder) if folder else Path.home() / ".config" / "warmrl") / "trusted.json"


def digest(file: Path) -> str:
    """SHA-256 of a plugin file. Raises `PluginError` when it can't be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise PluginError(f"The plugin file {file} cannot be read: {error.strerror}. Check `plugins`.") from error


def trusted() -> dict[str, str]:
    """Trusted hashes, and the path that each had when it was trusted."""
    try:
        return json.loads(trust_file().read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PluginError(
            f"{trust_file()} cannot be read ({error}); mend or remove it, and trust files again."
        ) from error


def trust(file: Path) -> str:
    """Trust these bytes from now on; returns their hash."""
    known = trusted() | {digest(file): str(file.resolve())}
    where = trust_file()
    where.parent.mkdir(parents=True, exist_ok=True)
    aside = where.with_suffix(".tmp")
    aside.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    aside.replace(where)
    return digest(file)


def load(file: Path) -> tuple[str, ModuleType]:
    """Import a trusted one-file plugin. Raises `PluginError` when it isn't trusted or fails on import."""
    sha = digest(file)
    if sha not in trusted():
        raise PluginError(
            f"The plugin file {file} runs code and is not trusted as it is now. Read it, then run "
            f"`warmrl plugin trust {file}`; any change to the file asks again."
        )
    name = f"warmrl_local_{file.stem}_{sha[:8]}"
    if name in sys.modules:
        return name, sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"The plugin file {file} is no Python file; a one-file plugin ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(f"The plugin file {file} failed on import: {type(error).__name__}: {error}.") from error
    return name, module
