"""The registry: what every installed plugin adds, by kind and name, loaded only as far as it is needed."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import pluggy
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from warmrl.domain.config import Choice, Config
from warmrl.domain.errors import PluginError
from warmrl.plugin import spec

KINDS = {
    "warm start": "warmrl_register_warm_starts",
    "RL algorithm": "warmrl_register_rl_algorithms",
    "curator": "warmrl_register_curators",
    "teacher": "warmrl_register_teachers",
    "dataset": "warmrl_register_datasets",
    "answer style": "warmrl_register_answer_styles",
    "reward": "warmrl_register_rewards",
    "metric": "warmrl_register_metrics",
    "sampler": "warmrl_register_samplers",
}
# A stage's `use` may name any of these three kinds, so a name is unique across them.
STAGE_KINDS = ("warm start", "RL algorithm", "curator")


@dataclass(frozen=True)
class Registration:
    """One name that a plugin added."""

    kind: str
    name: str
    config: type[Config]
    implementation: str
    revision: str
    plugin: str
    distribution: str

    def load(self) -> type[Any]:
        """Import the implementation. Raises `PluginError` naming the distribution when it can't be."""
        module, _, attribute = self.implementation.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise PluginError(
                f"The {self.kind} `{self.name}` of {self.distribution} cannot be loaded: importing "
                f"`{self.implementation}` failed with {type(error).__name__}: {error}. Mend or uninstall that package."
            ) from error


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded, and why."""

    plugin: str
    distribution: str
    reason: str


@dataclass
class Registry:
    """Every registration by (slot, name); a slot is a kind, or `stage` for the three stage kinds."""

    manager: pluggy.PluginManager
    registrations: dict[tuple[str, str], list[Registration]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    @classmethod
    def installed(cls, modules: Iterable[tuple[str, ModuleType]] = ()) -> Registry:
        """The plugins of every installed distribution, and `modules` (name, module) on top.

        A plugin that raises is recorded in `broken` and stops nothing else.
        """
        manager = pluggy.PluginManager("warmrl")
        manager.add_hookspecs(spec)
        registry = cls(manager)
        for entry in sorted(importlib.metadata.entry_points(group="warmrl"), key=lambda e: e.name):
            distribution = entry.dist.name if entry.dist else "unknown"
            try:
                module = entry.load()
            except (Exception, SystemExit) as error:
                registry.broken.append(Broken(entry.name, distribution, f"{type(error).__name__}: {error}"))
                continue
            registry.add(entry.name, distribution, module)
        for name, module in modules:
            registry.add(name, getattr(module, "__file__", None) or name, module)
            registry.stamp(name)
        return registry

    def add(self, plugin: str, distribution: str, module: ModuleType) -> None:
        """Register a plugin module and take in all that its register hooks add."""
        # An entry point's name is unique within its distribution alone.
        name = f"{distribution}:{plugin}" if self.manager.has_plugin(plugin) else plugin
        try:
            self.manager.register(module, name)
            added = [*self._collect(plugin, distribution, module)]
        except (Exception, SystemExit) as error:
            self.broken.append(Broken(plugin, distribution, f"{type(error).__name__}: {error}"))
            if self.manager.get_plugin(name) is module:
                self.manager.unregister(name=name)
            return
        for one in added:
            self.registrations.setdefault((slot(one.kind), one.name), []).append(one)

    def stamp(self, plugin: str) -> None:
        """Put a one-file plugin's name, which holds the hash of its bytes, into its revisions: it has no others."""
        for ones in self.registrations.values():
            ones[:] = [
                replace(one, revision=f"{one.revision}+{plugin}") if one.plugin == plugin else one for one in ones
            ]

    def _collect(self, plugin: str, distribution: str, module: ModuleType) -> Iterable[Registration]:
        for kind, hook in KINDS.items():
            for implemented in getattr(self.manager.hook, hook).get_hookimpls():
                if implemented.plugin is not module:
                    continue
                added: list[Registration] = []

                def register(
                    name: str,
                    *,
                    config: type[Config],
                    implementation: str,
                    revision: str = "1",
                    kind: str = kind,
                    added: list[Registration] = added,
                ) -> None:
                    added.append(Registration(kind, name, config, implementation, revision, plugin, distribution))

                implemented.function(register)
                yield from added

    def of_kind(self, kind: str) -> list[Registration]:
        """Every registration of a kind (or of `stage`), by name; duplicates included."""
        found = (one for (where, _), ones in self.registrations.items() if where == slot(kind) for one in ones)
        return sorted((one for one in found if kind in (one.kind, "stage")), key=lambda one: (one.name, one.plugin))

    def get(self, kind: str, name: str) -> Registration:
        """The one registration of that name. Raises `PluginError` when there is none, or more than one."""
        found = self.registrations.get((slot(kind), name), [])
        if len(found) == 1:
            return found[0]
        if found:
            who = " and ".join(sorted(one.distribution for one in found))
            raise PluginError(f"the {kind} `{name}` is registered twice, by {who}; uninstall one of them")
        known = sorted({one.name for one in self.of_kind(kind)})
        near = difflib.get_close_matches(name, known, n=1)
        message = f"there is no {kind} called `{name}`"
        message += f"; did you mean `{near[0]}`?" if near else f"; installed: {', '.join(known) or 'none'}"
        if self.broken:
            names = ", ".join(f"`{b.plugin}` of {b.distribution} ({b.reason})" for b in self.broken)
            message += f" (these plugins could not be loaded: {names})"
        raise PluginError(message)

    def choose(self, kind: str, table: Mapping[str, Any], context: Mapping[str, Any]) -> Choice:
        """Validate a recipe table by the config of the plugin that its `use` names; for `OfKind` fields."""
        rest = dict(table)
        name = rest.pop("use", None)
        if not isinstance(name, str):
            raise PydanticCustomError("plugin", "it chooses a {kind}, so it needs `use`", {"kind": kind})
        try:
            found = self.get(kind, name)
        except PluginError as error:
            raise PydanticCustomError("plugin", "{reason}", {"reason": str(error), "key": "use"}) from None
        try:
            config = found.config.model_validate(rest, context=dict(context))
        except ValidationError as error:
            nested = error.errors(include_url=False)
            raise PydanticCustomError(
                "nested", "{count} problems", {"count": len(nested), "errors": nested, "known": known_keys(found)}
            ) from None
        return Choice(kind=found.kind, use=name, config=config)

    def instance(self, choice: Choice, *arguments: Any) -> Any:
        """Import a chosen plugin and construct it with its config and `arguments`."""
        return self.get(choice.kind, choice.use).load()(choice.config, *arguments)


def slot(kind: str) -> str:
    """The name space of a kind: the three stage kinds share one."""
    return "stage" if kind in STAGE_KINDS else kind


def known_keys(registration: Registration) -> list[str]:
    """Every key that the plugin's recipe table may have."""
    return ["use", *registration.config.model_fields]
