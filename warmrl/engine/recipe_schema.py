"""The JSON Schema of a recipe, made from the engine's tables and the config classes of the installed plugins."""

from __future__ import annotations

from typing import Any

from warmrl.domain.recipe import Recipe
from warmrl.domain.study import StudyTable
from warmrl.engine.study_file import OF_THE_STUDY
from warmrl.plugin.registry import Registration, Registry

MARK = "x-plugin-kind"


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) for editors and for checks by other tools."""
    registry = Registry.installed()
    definitions: dict[str, Any] = {}
    out = lifted(Recipe.model_json_schema(), definitions, "")
    out["properties"]["extends"] = {"type": "string", "description": "One parent recipe, relative to this file."}
    # A recipe that extends another leaves out what its parent has.
    out["required"] = ["version", "name"]
    out = {"$schema": "https://json-schema.org/draft/2020-12/schema", **filled(out, registry, definitions)}
    for named in out["properties"].values():
        for pattern, one in named.get("patternProperties", {}).items():
            named["patternProperties"][pattern] = {"anyOf": [one, {"const": False}]}  # takes the parent's away
    out["properties"] |= {"study": study(definitions), "arm": arms(out["properties"])}
    out["$defs"] = dict(sorted(definitions.items()))
    return out


def study(definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of `[study]`."""
    found = lifted(StudyTable.model_json_schema(), definitions, "study.")
    found.pop("required", None)  # as a parent recipe may have it
    return found


def arms(properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of `[arm.*]`: what a recipe has, but for what is the whole study's, and `declared`."""
    own: dict[str, Any] = {name: {"$ref": f"#/properties/{name}"} for name in properties if name not in OF_THE_STUDY}
    own["declared"] = {"type": "object", "additionalProperties": {"type": "string"}}
    arm = {"type": "object", "properties": own, "additionalProperties": False}
    return {"type": "object", "additionalProperties": arm, "description": "Overlays of the recipe: its arms."}


def lifted(found: dict[str, Any], definitions: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Move a model's own `$defs` up to the recipe's, under a prefix that keeps plugins apart."""
    own = found.pop("$defs", {})
    for name, one in own.items():
        definitions[prefix + name] = renamed(one, prefix)
    return renamed(found, prefix)


def renamed(value: Any, prefix: str) -> Any:
    """References with the prefix."""
    if isinstance(value, dict):
        return {
            key: one.replace("#/$defs/", f"#/$defs/{prefix}") if key == "$ref" else renamed(one, prefix)
            for key, one in value.items()
        }
    return [renamed(one, prefix) for one in value] if isinstance(value, list) else value


def filled(value: Any, registry: Registry, definitions: dict[str, Any]) -> Any:
    """Replace every marker of a plugin kind by a reference to the choice among that kind's plugins."""
    if isinstance(value, list):
        return [filled(one, registry, definitions) for one in value]
    if not isinstance(value, dict):
        return value
    if MARK in value:
        kind = value[MARK]
        rest = {key: one for key, one in value.items() if key != MARK}
        return {**rest, "$ref": f"#/$defs/{choice(kind, registry, definitions)}"}
    return {key: filled(one, registry, definitions) for key, one in value.items()}


def choice(kind: str, registry: Registry, definitions: dict[str, Any]) -> str:
    """The name of the definition that lists a kind's plugins; made on first use."""
    name = kind.replace(" ", "_")
    if name not in definitions:
        definitions[name] = {}
        options = [{"$ref": f"#/$defs/{table(one, registry, definitions)}"} for one in registry.of_kind(kind)]
        definitions[name] = {"type": "object", "anyOf": options}
    return name


def table(one: Registration, registry: Registry, definitions: dict[str, Any]) -> str:
    """The name of the definition of one plugin's table; made on first use."""
    name = f"{one.kind.replace(' ', '_')}.{one.name}"
    if name not in definitions:
        definitions[name] = {}
        own = lifted(one.config.model_json_schema(), definitions, f"{name}.")
        own["properties"] = {"use": {"const": one.name}, **own.get("properties", {})}
        # A table may leave out what the parent recipe sets, and `use` where its own name says it.
        own.pop("required", None)
        definitions[name] = filled(own, registry, definitions)
    return name
