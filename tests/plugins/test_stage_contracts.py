"""The contracts that run a recipe, on the built-in stages, teacher and sampler."""

import json
from typing import ClassVar

import pytest
from misbehaving_server import serving
from warmrl_pocket.build import build_tokenizer
from warmrl_pocket.config import GeometryConfig
from warmrl_pocket.geometry import PocketGeometry
from warmrl_teachers.chat import chat_of

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
class TestDPO(WarmStartContract):
    """With BCO's running mean of rewards, which a resumed run must take up again."""

    plugin = "warmrl_dpo"
    name = "dpo"
    settings: ClassVar = {"data": "pairs", "loss": "mpo"}

    def recipe(self, folder):
        rows = [{"prompt": f"{n} ?", "chosen": f"{n} + 1", "rejected": f"{n} + 2 + 3"} for n in range(8)]
        (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.tables = RANDOM | {"data": {"pairs": {"use": "files", "path": str(folder / "pairs.jsonl")}}}
        return super().recipe(folder)


@pytest.mark.slow
class TestTRL(WarmStartContract):
    """Without the length of samples, which TRL's trainers on given answers have no word for."""

    plugin = "warmrl_trl"
    name = "trl"
    settings: ClassVar = {"trainer": "sft"}
    small: ClassVar = {"steps": 3, "prompts_per_step": 2, "checkpoint_every": 1}
    tables: ClassVar = RANDOM


@pytest.mark.slow
class TestOPD(WarmStartContract):
    plugin = "warmrl_opd"
    name = "opd"
    settings: ClassVar = {"teacher": {"use": "local", "path": "pocket:random-teacher"}}
    tables: ClassVar = RANDOM


@pytest.mark.slow
class TestOPSD(WarmStartContract):
    """With the average, which is part of every checkpoint."""

    plugin = "warmrl_opd"
    name = "opsd"
    settings: ClassVar = {"teacher": "ema", "ema_decay": 0.5, "learning_rate": 1e-3}
    tables: ClassVar = RANDOM


@pytest.mark.slow
class TestKDRL(RLAlgorithmContract):
    """Beginning with the teacher's samples."""

    plugin = "warmrl_opd"
    name = "kdrl"
    settings: ClassVar = {
        "teacher": {"use": "local", "path": "pocket:random-teacher"},
        "samples_per_prompt": 2,
        "teacher_steps": 1,
        "updates_per_rollout": 2,
    }
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
class TestPerplexity(CuratorContract):
    plugin = "warmrl_vlaa"
    name = "perplexity"
    settings: ClassVar = {"keep": 4, "models": ["base"], "also": {"use": "local", "path": "pocket:random-teacher"}}
    tables: ClassVar = RANDOM


@pytest.mark.slow
@needs_pocket
class TestSelfDistill(CuratorContract):
    """Of the pocket's teacher, which is nearly always right."""

    plugin = "warmrl_specs"
    name = "self_distill"
    settings: ClassVar = {"chosen_from": "base", "rejected_from": "both", "samples_per_prompt": 2, "max_tokens": 32}
    tables: ClassVar = {"model": {"path": "pocket:teacher"}}


@pytest.mark.slow
@needs_pocket
class TestLocal(TeacherContract):
    plugin = "warmrl_teachers"
    name = "local"
    settings: ClassVar = {"path": "pocket:teacher"}


@pytest.mark.slow
class TestServer(TeacherContract):
    """Against a server that knows the contract's problems, and the pocket's tokens."""

    plugin = "warmrl_teachers"
    name = "server"

    @pytest.fixture(autouse=True)
    def serve(self):
        problems = PocketGeometry(GeometryConfig(split="train", limit=8)).problems()
        right = {json.dumps(chat_of(one.messages)): f"<answer>{one.gold}</answer>" for one in problems}
        with serving() as server:
            server.answer = lambda body: right[json.dumps(body["messages"])]
            server.tokens = lambda text: build_tokenizer()(text)["input_ids"]
            self.settings = {"model": "m", "kind": "vllm", "urls": [server.url]}
            yield


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
