"""A plugin's page: its settings, types and defaults from the config class, and where its source is.

`python -m warmrl.engine.plugin_pages > docs/plugins.md` writes the reference of all hooks and built-ins.
"""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from warmrl.domain.config import Config
from warmrl.plugin import spec
from warmrl.plugin.registry import KINDS, Registration, Registry


def reference() -> str:
    """Every hook, and every plugin that comes with warmrl, as one Markdown page."""
    hooks = [name for name in vars(spec) if name.startswith("warmrl_")]
    lines = ["# Plugins", "", "Generated from the code: `python -m warmrl.engine.plugin_pages > docs/plugins.md`.", ""]
    lines += ["## Hooks", "", "| hook | what it is for |", "|---|---|"]
    lines += [f"| `{name}` | {' '.join((inspect.getdoc(getattr(spec, name)) or '').split())} |" for name in hooks]
    registry = Registry.installed()
    for kind in KINDS:
        lines += ["", f"## Kind: {kind}"]
        for one in registry.of_kind(kind):
            if one.distribution == "warmrl":
                lines += ["", page(one, one.implementation.replace(":", "."))]
    return "\n".join(lines) + "\n"


def page(one: Registration, where: str | None = None) -> str:
    """Markdown for one registration; `where` says where its source is (by default the file)."""
    summary = inspect.getdoc(one.config) or ""
    lines = [f"### {one.name} ({one.kind})", "", summary, ""]
    if one.config.model_fields:
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += rows(one.config)
        lines.append("")
    lines.append(f"From {one.distribution}, revision {one.revision}. Source: {where or source(one)}")
    return "\n".join(lines)


def rows(config: type[BaseModel], prefix: str = "") -> list[str]:
    """All keys of a table; those of a table within it are written `outer.inner`."""
    lines = []
    for name, field in config.model_fields.items():
        lines.append(row(prefix + name, field))
        inner = [one for one in (field.annotation, *get_args(field.annotation)) if is_table(one)]
        lines += [line for table in inner for line in rows(table, f"{prefix}{name}.")]
    return lines


def is_table(annotation: Any) -> bool:
    """Whether a field holds a table of fixed keys (not a plugin's, which has a page of its own)."""
    return isinstance(annotation, type) and issubclass(annotation, Config)


def row(name: str, field: FieldInfo) -> str:
    """One key of a table."""
    default = "required" if field.default is PydanticUndefined else shown(field.default)
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name}` | {type_name(field.annotation)} | {default} | {meaning} |"


def shown(value: Any) -> str:
    """A default as TOML would have it."""
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def type_name(annotation: Any) -> str:
    """A type in words."""
    if any(is_table(one) for one in (annotation, *get_args(annotation))):
        return "table"
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return name.replace("typing.", "").replace("warmrl.domain.config.", "").replace("|", "or")


def source(one: Registration) -> str:
    """The file of the implementation, found without importing it."""
    module, _, attribute = one.implementation.partition(":")
    found = importlib.util.find_spec(module)
    return f"{found.origin if found else module}, class `{attribute}`"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
