"""What holds for a plugin of any kind: how it registers, and what its settings are."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from warmrl.domain.config import Config
from warmrl.plugin.registry import Registration, Registry

HEAVY = ("torch", "transformers", "accelerate", "datasets", "sympy")
"""What registering must not import: `warmrl --help` and `recipe check` load every plugin."""


class PluginContract:
    """The part that all contracts share. Set `plugin`, `name`, and `settings` where the config needs some."""

    plugin: ClassVar[str]
    """The module that the entry point names."""
    name: ClassVar[str]
    """The name that it registers."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """A recipe table, without `use`, that the plugin accepts."""
    kind: ClassVar[str]
    base: ClassVar[type]
    config_base: ClassVar[type[Config]] = Config

    def registry(self) -> Registry:
        """The installed plugins, and this one."""
        registry, module = Registry.installed(), importlib.import_module(self.plugin)
        if not registry.manager.is_registered(module):
            registry.add(self.plugin, "under test", module)
        return registry

    def registration(self) -> Registration:
        """What the plugin registered under `name`."""
        return self.registry().get(self.kind, self.name)

    def config(self, **settings: Any) -> Any:
        """The config class, filled from `settings` of the contract and these."""
        table = {**self.settings, **settings}
        return self.registration().config.model_validate(table, context={"registry": self.registry()})

    def test_it_registers(self) -> None:
        registry = self.registry()
        assert not [one for one in registry.broken if one.plugin == self.plugin], registry.broken
        registry.manager.check_pending()
        assert registry.get(self.kind, self.name).kind == self.kind
        assert registry.get(self.kind, self.name).revision

    def test_its_implementation_is_of_the_kind(self) -> None:
        implementation = self.registration().load()
        assert issubclass(implementation, self.base)
        assert not inspect.isabstract(implementation), implementation.__name__
        assert implementation.__doc__, f"{implementation.__name__} has no docstring; `warmrl plugin show` prints it"

    def test_registering_imports_nothing_heavy(self) -> None:
        assert heavy_imports(self.plugin) == [], "import these inside the implementation's module"

    def test_its_settings_are_strict_and_frozen(self) -> None:
        config = self.config()
        assert isinstance(config, self.config_base)
        with pytest.raises(ValidationError):
            self.config(no_such_setting=1)
        for name in type(config).model_fields:
            with pytest.raises(ValidationError):
                setattr(config, name, getattr(config, name))

    def test_its_settings_survive_the_resolved_recipe(self) -> None:
        config = self.config()
        written = json.loads(json.dumps(config.model_dump(mode="json", exclude_none=True), allow_nan=False))
        assert self.config(**written) == config

    def test_its_settings_are_documented(self) -> None:
        config = self.registration().config
        assert config.__doc__
        undocumented = [name for name, field in config.model_fields.items() if not field.description]
        assert not undocumented, "put a docstring under each field: `warmrl plugin show` and the schema print it"

    def test_its_settings_have_a_json_schema(self) -> None:
        schema = self.registration().config.model_json_schema()
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        json.dumps(schema, allow_nan=False)


@functools.cache
def heavy_imports(plugin: str) -> list[str]:
    """Which of `HEAVY` a fresh process has imported when the installed plugins and this module are registered."""
    code = (
        "import importlib, json, sys\n"
        "from warmrl.plugin.registry import Registry\n"
        f"registry, module = Registry.installed(), importlib.import_module({plugin!r})\n"
        f"registry.manager.is_registered(module) or registry.add({plugin!r}, 'under test', module)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found
