"""The extension surface: every hook is documented and tested, every built-in is what it says."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import pytest

from warmrl.api import MethodConfig, hookimpl
from warmrl.engine.plugin_pages import page, reference
from warmrl.plugin import spec
from warmrl.plugin.registry import KINDS, Registry

ROOT = Path(__file__).parent.parent.parent
HOOKS = sorted(name for name in vars(spec) if name.startswith("warmrl_"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


def test_nothing_installed_is_broken(registry: Registry) -> None:
    assert registry.broken == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_tested(hook: str) -> None:
    assert inspect.getdoc(getattr(spec, hook))
    assert hook in (ROOT / "docs" / "plugins.md").read_text()
    tests = [file.read_text() for file in (ROOT / "tests").rglob("*.py")] + [
        file.read_text() for file in (ROOT / "plugins").rglob("*.py")
    ]
    assert any(hook in text for text in tests)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_built_in_that_loads(registry: Registry, kind: str) -> None:
    found = registry.of_kind(kind)
    assert found
    for one in found:
        assert isinstance(one.load(), type)
        assert f"# {one.name} ({kind})" in page(one)


def test_observers_hear_and_cannot_change() -> None:
    """The four observer hooks are called with what they name, by every plugin that has them."""
    heard: list[str] = []
    module = ModuleType("observer")
    module.warmrl_run_started = hookimpl(lambda run: heard.append(run["name"]), specname="warmrl_run_started")
    module.warmrl_metrics_logged = hookimpl(lambda row: heard.append(row["stage"]), specname="warmrl_metrics_logged")
    module.warmrl_stage_finished = hookimpl(lambda stage, reused: heard.append(stage), specname="warmrl_stage_finished")
    module.warmrl_run_finished = hookimpl(lambda run: heard.append("end"), specname="warmrl_run_finished")
    registry = Registry.installed([("observer", module)])
    assert registry.broken == []
    hook = registry.manager.hook
    hook.warmrl_run_started(run={"name": "x"})
    hook.warmrl_metrics_logged(row={"stage": "warm"})
    hook.warmrl_stage_finished(stage="rl", folder=Path(), reused=False)
    hook.warmrl_run_finished(run={})
    assert heard == ["x", "warm", "rl", "end"]


def test_a_misspelt_hook_argument_is_named() -> None:
    module = ModuleType("wrong")

    def warmrl_register_rewards(registre: object) -> None:
        pass

    module.warmrl_register_rewards = hookimpl(warmrl_register_rewards)
    module.__file__ = "wrong.py"
    registry = Registry.installed([("wrong", module)])
    assert registry.broken[0].plugin == "wrong" and "registre" in registry.broken[0].reason
    assert registry.get("reward", "math")


def test_a_plugin_that_raises_while_registering_adds_nothing() -> None:
    module = ModuleType("raising")

    def warmrl_register_warm_starts(register: object) -> None:
        register("one", config=MethodConfig, implementation="x:Y")
        raise RuntimeError("no")

    module.warmrl_register_warm_starts = hookimpl(warmrl_register_warm_starts)
    registry = Registry.installed([("raising", module)])
    assert [one.plugin for one in registry.broken] == ["raising"]
    assert ("stage", "one") not in registry.registrations


def test_the_reference_is_what_the_code_says() -> None:
    """Write it again with `python -m warmrl.engine.plugin_pages > docs/plugins.md`."""
    assert (ROOT / "docs" / "plugins.md").read_text() == reference()
