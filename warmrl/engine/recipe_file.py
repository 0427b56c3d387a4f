"""From a recipe file to a checked `Recipe`: `extends`, `--set`, the plugins' own tables, and clear refusals."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from warmrl.domain.errors import RecipeError
from warmrl.domain.recipe import Recipe
from warmrl.engine.recipe_errors import explain
from warmrl.engine.recipe_rules import check_references
from warmrl.plugin import local
from warmrl.plugin.registry import Registry

# Tables of named tables whose entries may leave `use` to their own name.
NAMED = ("data", "reward", "stage", "suite")
# Tables that make a recipe a study (`engine/study_file.py`).
STUDY = ("study", "arm")


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as it was read: the file, its verbatim text, the merged table, the validated recipe, the plugins."""

    path: Path
    text: str
    table: dict[str, Any]
    recipe: Recipe
    registry: Registry

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out; `warmrl run` takes it back."""
        table = self.recipe.model_dump(mode="json", exclude_none=True)
        # Beside the recipe, wherever the resolved one is kept.
        table["plugins"] = [str((self.path.parent / file).resolve()) for file in self.recipe.plugins]
        return table


def read(path: Path, sets: Sequence[str] = ()) -> RecipeFile:
    """Read, merge, validate and check a recipe. Raises `RecipeError` or `PluginError` with every problem found."""
    text, table = merged(path)
    for assignment in sets:
        assign(table, assignment)
    if any(key in table for key in STUDY):
        raise RecipeError(f"{path} is a study: it has arms, and this takes the recipe of one run.")
    return validated(path, text, table)


def validated(path: Path, text: str, table: dict[str, Any]) -> RecipeFile:
    """Check a whole table as the recipe of `path`. Raises `RecipeError` or `PluginError` with every problem found."""
    fill_use(table)
    registry = Registry.installed(local_plugins(table, path))
    try:
        recipe = Recipe.model_validate(table, context={"registry": registry})
    except ValidationError as error:
        raise RecipeError(explain(path, error, Recipe)) from None
    found = RecipeFile(path, text, table, recipe, registry)
    check_references(path, recipe, registry)
    return found


def merged(path: Path, below: tuple[Path, ...] = ()) -> tuple[str, dict[str, Any]]:
    """The file's own text, and its table laid over its parent's. Raises `RecipeError`."""
    text, table = parse(path)
    if path.resolve() in below:
        raise RecipeError(f"{path}: `extends` goes in a circle; a recipe cannot be its own ancestor.")
    parent = table.pop("extends", None)
    if parent is None:
        return text, table
    if not isinstance(parent, str):
        raise RecipeError(f"{path}: `extends` is {parent!r}; it names one parent file, relative to this one.")
    _, base = merged(path.parent / parent, (*below, path.resolve()))
    return text, overlay(base, table)


def parse(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and table of one TOML (or resolved JSON) file. Raises `RecipeError`."""
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise RecipeError(f"The recipe {path} does not exist; give the path of a TOML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error}.") from None
    except ValueError as error:
        raise RecipeError(f"{path} is not valid {'JSON' if path.suffix == '.json' else 'TOML'}: {error}.") from None
    if not isinstance(table, dict):
        raise RecipeError(f"{path} holds a {type(table).__name__}; a recipe is one table.")
    return text, table


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two tables by name. A table whose `use` changes is replaced whole: its keys belong to another plugin.

    `false` in a table's place takes it away.
    """
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        if value is False and isinstance(below, Mapping):
            del out[key]
            continue
        if isinstance(value, Mapping) and isinstance(below, Mapping) and not switches(below, value):
            out[key] = overlay(below, value)
        else:
            out[key] = value
    return out


def switches(below: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether `value` chooses another plugin than the table it is laid over."""
    return "use" in value and "use" in below and value["use"] != below["use"]


def assign(table: dict[str, Any], assignment: str) -> None:
    """Apply one `--set a.b=value`; the value is TOML, or else a plain string. Raises `RecipeError`."""
    path, equals, raw = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"`--set {assignment}`: write a dotted key and a value, as `--set stage.rl.steps=20`.")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    nested: dict[str, Any] = {keys[-1]: value}
    for key in reversed(keys[:-1]):
        nested = {key: nested}
    merged_table = overlay(table, nested)
    table.clear()
    table.update(merged_table)


def fill_use(table: dict[str, Any]) -> None:
    """Give a named table without `use` its own name as the plugin's."""
    for kind in NAMED:
        tables = table.get(kind)
        if isinstance(tables, dict):
            for name, entry in tables.items():
                if isinstance(entry, dict):
                    tables[name] = {"use": name, **entry}


def local_plugins(table: Mapping[str, Any], path: Path) -> list[tuple[str, Any]]:
    """Import the recipe's one-file plugins, if it names any. Raises `PluginError` for one that isn't trusted."""
    files = table.get("plugins", [])
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        return []
    return [local.load(path.parent / file) for file in files]
