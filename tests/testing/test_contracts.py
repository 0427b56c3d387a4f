"""The conformance kit notices what is wrong: each broken plugin fails the test that should catch it."""

import importlib
import sys
import types

import pytest
from pydantic import ConfigDict

from warmrl.api import (
    AnswerStyle,
    Config,
    Dataset,
    DatasetConfig,
    Message,
    Metric,
    Problem,
    Reward,
    RewardConfig,
    Text,
    Value,
    hookimpl,
)
from warmrl.testing import (
    AnswerStyleContract,
    DatasetContract,
    MetricContract,
    PlainStyle,
    RewardContract,
    hostile_texts,
)


class Settings(RewardConfig):
    """Settings."""


class Loose(RewardConfig):
    """Settings that take anything."""

    model_config = ConfigDict(extra="allow", frozen=False)
    undocumented: int = 1


class Style(PlainStyle):
    """Finds nothing."""

    def __init__(self, config):
        super().__init__(config)

    def extract(self, completion):
        return None


class Slow(Style):
    """Takes its time with long texts."""

    def extract(self, completion):
        for _ in range(10 * len(completion)):
            pass


class NotFinite(Reward[Settings]):
    """Gives NaN."""

    def score(self, problem, completions):
        return [float("nan")] * len(completions)


class OneShort(Reward[Settings]):
    """Gives one number too few."""

    def score(self, problem, completions):
        return [1.0] * (len(completions) - 1)


class Fragile(Reward[Settings]):
    """Breaks on text that is no number."""

    def score(self, problem, completions):
        return [float(int(text) == 4) for text in completions]


class Twins(Dataset[DatasetConfig]):
    """Two problems with one id, another order each time."""

    def problems(self):
        return [Problem("p", (Message("user", (Text("?"),)),), "1")] * 2

    def fingerprint(self):
        import uuid

        return uuid.uuid4().hex


class PlainSum(Metric[Config]):
    """Adds up in the order that it is given."""

    unit = "nats"

    def value(self, samples):
        known = [one.entropy for one in samples if one.entropy is not None]
        return Value(sum(known)) if known else None


class FirstSeen(Metric[Config]):
    """Takes the first of the answers that tie."""

    def value(self, samples):
        canonical = [one.canonical for one in samples]
        best = max(canonical, key=canonical.count)
        return Value(samples[canonical.index(best)].score)


class Zero(Metric[Config]):
    """Takes what is not known for nothing."""

    needs = frozenset({"nucleus"})
    unit = "count"

    def value(self, samples):
        return Value(max(one.nucleus or 0.0 for one in samples))


@pytest.fixture
def plugin(monkeypatch):
    """Makes a module that registers one thing."""

    def make(hook, implementation, config):
        module = types.ModuleType("broken_plugin")

        def register_it(register):
            register("it", config=config, implementation=f"{__name__}:{implementation.__name__}")

        register_it.__name__ = hook
        setattr(module, hook, hookimpl(register_it))
        monkeypatch.setitem(sys.modules, "broken_plugin", module)
        monkeypatch.setitem(sys.modules, __name__, importlib.import_module(__name__))
        return "broken_plugin"

    return make


def contract(base, plugin, **attributes):
    return type("Contract", (base,), {"plugin": plugin, "name": "it", **attributes})()


def test_loose_settings_are_noticed(plugin):
    it = contract(RewardContract, plugin("warmrl_register_rewards", NotFinite, Loose))
    for check in ("settings_are_strict_and_frozen", "settings_are_documented", "settings_have_a_json_schema"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            getattr(it, f"test_its_{check}")()


@pytest.mark.parametrize("broken", [NotFinite, OneShort, Fragile])
def test_broken_rewards_are_noticed(plugin, broken):
    it = contract(RewardContract, plugin("warmrl_register_rewards", broken, Settings), right=("4",), wrong=("5",))
    reward = broken(Settings(), it.style())
    with pytest.raises((AssertionError, ValueError)):
        it.test_hostile_text_is_survived(reward)


def test_broken_styles_are_noticed(plugin):
    it = contract(AnswerStyleContract, plugin("warmrl_register_answer_styles", Style, Config))
    with pytest.raises(AssertionError):
        it.test_extract_finds_what_wrap_put_in()
    it = contract(AnswerStyleContract, plugin("warmrl_register_answer_styles", Slow, Config), seconds=0.1)
    with pytest.raises(AssertionError):
        it.test_hostile_text_is_survived("spaces")


def test_broken_datasets_are_noticed(plugin, tmp_path):
    it = contract(DatasetContract, plugin("warmrl_register_datasets", Twins, DatasetConfig))
    for check in ("ids_are_unique", "the_same_every_time", "an_unknown_split_is_refused"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            getattr(it, f"test_{check}")(tmp_path)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (PlainSum, "order_does_not_matter"),
        (FirstSeen, "order_does_not_matter"),
        (Zero, "what_it_needs_is_missing_when_unknown"),
    ],
)
def test_broken_metrics_are_noticed(plugin, broken, check):
    it = contract(MetricContract, plugin("warmrl_register_metrics", broken, Config))
    it.test_values_are_finite()
    with pytest.raises(AssertionError):
        getattr(it, f"test_{check}")()


def test_a_plugin_that_cannot_register_is_noticed(plugin):
    it = contract(RewardContract, plugin("warmrl_register_reward", NotFinite, Settings))
    with pytest.raises(Exception, match=r"warmrl_register_reward|no reward"):
        it.test_it_registers()


def test_hostile_texts_are_as_long_as_asked():
    texts = hostile_texts(1000)
    assert list(texts) == list(hostile_texts(10))
    assert max(len(text) for text in hostile_texts(1_000_000).values()) < 1_100_000


def test_the_kit_covers_every_kind():
    import warmrl.testing as kit
    from warmrl.plugin.registry import KINDS

    contracts = [getattr(kit, name) for name in kit.__all__ if name.endswith("Contract")]
    assert {one.kind for one in contracts} == set(KINDS)
    assert all(issubclass(one.base, AnswerStyle | Dataset | Reward | one.base) for one in contracts)
