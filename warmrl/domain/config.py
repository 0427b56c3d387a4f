"""Strict, frozen tables of a recipe, and the field type by which a table chooses a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializeAsAny,
    model_serializer,
)
from pydantic_core import CoreSchema, core_schema


class Config(BaseModel):
    """Base of every recipe table: unknown keys are refused, values are never changed after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Choice(BaseModel):
    """A plugin chosen by a recipe table: its kind and name, and its own validated settings."""

    model_config = ConfigDict(frozen=True)

    kind: str
    use: str
    config: SerializeAsAny[Config]

    @model_serializer
    def _as_table(self) -> dict[str, Any]:
        """The recipe table it came from, every default written out."""
        return {"use": self.use, **self.config.model_dump(mode="json", exclude_none=True)}


@dataclass(frozen=True)
class OfKind:
    """Marks a `Choice` field: the table's `use` names a plugin of `kind`, the rest is that plugin's config.

    The registry is taken from the validation context (`{"registry": ...}`), so this module knows no plugin.
    """

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap the `Choice` schema: a raw table is resolved through the registry of the context."""
        inner = handler(source)

        def resolve(value: Any, info: core_schema.ValidationInfo) -> Any:
            if isinstance(value, dict) and info.context and "registry" in info.context:
                return info.context["registry"].choose(self.kind, value, info.context)
            return value

        return core_schema.with_info_before_validator_function(resolve, inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A marker that `warmrl recipe schema` replaces by the installed plugins of the kind."""
        return {"x-plugin-kind": self.kind}


def choices_in(value: Any) -> Iterator[Choice]:
    """Every plugin that a table, or what it holds, chooses, at any depth; each before those that it chooses itself."""
    if isinstance(value, Choice):
        yield value
        yield from choices_in(value.config)
    elif isinstance(value, Config):
        for _, one in value:
            yield from choices_in(one)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from choices_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from choices_in(one)


TeacherChoice = Annotated[Choice, OfKind("teacher")]
DatasetChoice = Annotated[Choice, OfKind("dataset")]
AnswerChoice = Annotated[Choice, OfKind("answer style")]
RewardChoice = Annotated[Choice, OfKind("reward")]
SamplerChoice = Annotated[Choice, OfKind("sampler")]
StageChoice = Annotated[Choice, OfKind("stage")]
