"""The contracts that run a recipe, on the built-in stages, teacher and sampler."""

from typing import ClassVar

import pytest

from warmrl.api import UsageError
from warmrl.engine.checkpoints import find
from warmrl.engine.policy import Policy
from warmrl.plugin.registry import Registry
from warmrl.testing import CuratorContract, RLAlgorithmContract, SamplerContract, TeacherContract, WarmStartContract

RANDOM = {"model": {"path": "pocket:random"}}
TEACHER = {"use": "local", "path": "pocket:teacher"}


def shipped():
    try:
        find("pocket:base", None, Registry.installed())
    except (UsageError, OSError):
        return False
    return True


needs_pocket = pytest.mark.skipif(not shipped(), reason="the pocket's weights are not built")


@pytest.mark.slow
class TestSFT(WarmStartContract):
    plugin = "warmrl_sft"
    name = "sft"
    tables: ClassVar = RANDOM


@pytest.mark.slow
class TestOPD(WarmStartContract):
    plugin = "warmrl_opd"
    name = "opd"
    settings: ClassVar = {"teacher": {"use": "local", "path": "pocket:random-teacher"}}
    tables: ClassVar = RANDOM


@pytest.mark.slow
class TestGRPO(RLAlgorithmContract):
    plugin = "warmrl_grpo"
    name = "grpo"
    settings: ClassVar = {"policy": "base", "samples_per_prompt": 2}
    tables: ClassVar = RANDOM


@pytest.mark.slow
@needs_pocket
class TestTraces(CuratorContract):
    plugin = "warmrl_teachers"
    name = "traces"
    settings: ClassVar = {"teacher": TEACHER, "max_tokens": 32}


@pytest.mark.slow
@needs_pocket
class TestLocal(TeacherContract):
    plugin = "warmrl_teachers"
    name = "local"
    settings: ClassVar = {"path": "pocket:teacher"}


class TestTransformers(SamplerContract):
    plugin = "warmrl_transformers"
    name = "transformers"

    def policy(self):
        return Policy.load(find("pocket:random", None, self.registry()), trained=False)


class TestRemote(SamplerContract):
    """One with weights of its own, which leaves entropies to the policy."""

    plugin = "third_party.remote_sampler"
    name = "remote"

    def policy(self):
        return Policy.load(find("pocket:random", None, self.registry()), trained=False)
