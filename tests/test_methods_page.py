"""`docs/methods.md` has a row for every method there is, and for every value of a setting that names a variant."""

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from warmrl.domain.stages import MethodConfig
from warmrl.plugin.registry import Registry

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
KINDS = ("warm start", "RL algorithm", "curator")
COLUMNS = 6


def built_in():
    registry = Registry.installed()
    return [one for kind in KINDS for one in registry.of_kind(kind) if one.distribution == "warmrl"]


def rows():
    """The cells of each row, and what they set: `key = "value"` of any cell."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `use = ")]
    return [(line.strip("| ").split(" | "), dict_of(line)) for line in lines]


def dict_of(line: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key, value in re.findall(r'`([a-z_]+) = "([^"]+)"', line):
        found.setdefault(key, set()).add(value)
    return found


def choices(annotation: Any) -> tuple[str, ...]:
    """The words that a setting chooses among."""
    if get_origin(annotation) is Literal:
        return tuple(one for one in get_args(annotation) if isinstance(one, str))
    return tuple(word for one in get_args(annotation) for word in choices(one))


def variants() -> dict[tuple[str, str], set[str]]:
    """Each value of a setting of their own, and the methods that have it."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in built_in():
        for name, field in one.config.model_fields.items():
            for value in choices(field.annotation) if name not in MethodConfig.model_fields else ():
                found.setdefault((name, value), set()).add(one.name)
    return found


@pytest.mark.parametrize("one", built_in(), ids=lambda one: one.name)
def test_every_method_has_a_row(one):
    assert any(sets["use"] == {one.name} for _, sets in rows()), f"docs/methods.md: no row of `{one.name}`"


def test_every_variant_has_a_row():
    for (name, value), methods in variants().items():
        told = any(value in sets.get(name, ()) and sets["use"] <= methods for _, sets in rows())
        assert told, f'docs/methods.md: no row of {sorted(methods)} says `{name} = "{value}"`'


def test_rows_are_whole():
    for cells, sets in rows():
        assert len(cells) == COLUMNS, cells
        assert all(cells), cells
        assert len(sets["use"]) == 1
