"""Teachers that rate: a reward model in the process beside transformers' own forward, one behind HTTP, the script."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import PIL.Image
import pytest
import torch
from misbehaving_server import Server, serving
from tiny_checkpoints import CHAT_TEMPLATE, END, qwen_tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Qwen2Config, Qwen2ForSequenceClassification
from warmrl_teachers.config import RewardModelConfig
from warmrl_teachers.reward_model import RewardModel, chat_of

from warmrl.api import Image, Message, Problem, ServiceError, Text, UsageError
from warmrl.engine.grading import open_reward
from warmrl.plugin.registry import Registry
from warmrl.testing import TeacherContract

REGISTRY = Registry.installed()
CONTEXT = {"registry": REGISTRY}
PICTURE = Image("grey", lambda: PIL.Image.new("RGB", (56, 56), "grey"))
PROBLEM = Problem("p", (Message("user", (PICTURE, Text("What is it?"))),), "A dog.", kind="open")
ANSWERS = ["A dog.", "It is a dog, and a large one, in the grass.", "", "A cat?", "x"]


class TestRewardModelContract(TeacherContract):
    plugin = "warmrl_teachers"
    name = "reward_model"
    settings: ClassVar = {"path": "reward-model"}


class TestScorerContract(TeacherContract):
    plugin = "warmrl_pocket"
    name = "pocket_scorer"


def write_reward_model(folder: Path, labels: int = 1) -> Path:
    """A tiny random reward model that reads text, with its tokenizer and chat template."""
    tokenizer = qwen_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, num_labels=labels, initializer_range=0.2,
        pad_token_id=tokenizer.convert_tokens_to_ids(END),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        Qwen2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.chat_template = "{%- set SYSTEM = false -%}" + CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reward_model(tmp_path_factory.mktemp("reward"))


def reward_model(folder: Path, **settings: Any) -> RewardModel:
    engine = SimpleNamespace(located=lambda path, revision: Path(path), allow_code=False)
    return RewardModel(RewardModelConfig(path=str(folder), dtype="float32", **settings), engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_rates_are_those_of_a_direct_forward(folder: Path, batch: int) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    direct = []
    for answer in ANSWERS:
        chat = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": answer}]
        ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)["input_ids"]
        direct.append(float(model(ids).logits.item()))
    teacher = reward_model(folder, batch=batch, offload=True)
    assert teacher.rate(PROBLEM, ANSWERS) == pytest.approx(direct, rel=1e-6)
    assert max(direct) - min(direct) > 0.1  # they are no constant
    teacher.rest()
    assert teacher.rate(PROBLEM, ANSWERS[:1]) == pytest.approx(direct[:1], rel=1e-6)
    assert teacher.rate(PROBLEM, []) == []
    assert not any(one.requires_grad for one in teacher._loaded[0].parameters())
    teacher.release()
    assert teacher._loaded is None


def test_one_without_a_padding_token_reads_them_one_by_one(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    expected = reward_model(folder).rate(PROBLEM, ANSWERS)
    assert reward_model(tmp_path).rate(PROBLEM, ANSWERS) == pytest.approx(expected, rel=1e-6)


def test_images_are_shown_to_a_model_with_eyes() -> None:
    (question, answer) = chat_of(PROBLEM, "A dog.", images=True)
    assert [part["type"] for part in question["content"]] == ["image", "text"]
    assert answer == {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]}
    assert chat_of(PROBLEM, "A dog.", images=False)[0]["content"] == "What is it?"


def test_what_is_no_reward_model_is_refused(folder: Path, tmp_path: Path) -> None:
    def why(place: Path) -> str:
        with pytest.raises(UsageError) as raised:
            reward_model(place).rate(PROBLEM, ANSWERS)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "lacks one label (it has 3)" in why(write_reward_model(tmp_path / "three", labels=3))
    plain = write_reward_model(tmp_path / "plain")
    (plain / "chat_template.jinja").unlink()
    assert "lacks a chat template" in why(plain)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    headless = write_reward_model(tmp_path / "headless")
    model.save_pretrained(headless, state_dict={k: v for k, v in model.state_dict().items() if "score" not in k})
    assert "lacks the weights score.weight" in why(headless)
    assert "cannot be loaded" in why(tmp_path / "nowhere")


def test_it_is_the_scorer_of_a_reward(folder: Path, tmp_path: Path) -> None:
    scorer = {"use": "reward_model", "path": str(folder), "dtype": "float32"}
    style = REGISTRY.instance(REGISTRY.choose("answer style", {"use": "tags"}, CONTEXT))
    choice = REGISTRY.choose("reward", {"use": "open_ended", "scorer": scorer}, CONTEXT)
    reward = open_reward(choice, style, REGISTRY, tmp_path)
    rates = dict(zip(ANSWERS, reward_model(folder).rate(PROBLEM, ANSWERS), strict=True))
    scores = reward.score(PROBLEM, [style.wrap("", one) for one in ANSWERS if one])
    gaps = [rates[one] - rates["A dog."] for one in ANSWERS if one]
    assert [score > 0 for score in scores] == [gap > 0 for gap in gaps]
    assert sum(score > 0 for score in scores) > 0
    reward.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def served(server: Server, folder: Path, **settings: Any) -> Any:
    """The open-ended reward whose scorer is behind HTTP, opened as the engine opens it."""
    scorer = {"use": "server", "kind": "reward", "model": "m", "urls": [server.url], "backoff": 0.001, **settings}
    style = REGISTRY.instance(REGISTRY.choose("answer style", {"use": "tags"}, CONTEXT))
    return open_reward(
        REGISTRY.choose("reward", {"use": "open_ended", "scorer": scorer}, CONTEXT), style, REGISTRY, folder / "store"
    )


TEXTS = [f"<answer>{one}</answer>" for one in ("A dog.", "A big dog.", "A big dog.", "Dog")]


def test_a_server_rates(server: Server, tmp_path: Path) -> None:
    """One request for each answer and the reference; the picture, the question and the answer; logits, not shares."""
    reward = served(server, tmp_path, concurrency=1)
    better = 1 - math.exp(-0.2 * len("big "))  # it rates by length
    assert reward.score(PROBLEM, TEXTS) == pytest.approx([0.0, better, better, 0.0])
    bodies = [body for path, body, _ in server.requests if path == "/pooling"]
    assert len(bodies) == 3  # the gold is also an answer, and is read from the cache
    assert (bodies[0]["model"], bodies[0]["task"], bodies[0]["use_activation"]) == ("m", "classify", False)
    (image, text), answer = bodies[0]["messages"][0]["content"], bodies[0]["messages"][1]
    assert image["image_url"]["url"].startswith("data:image/png;base64,") and text["text"] == "What is it?"
    assert answer == {"role": "assistant", "content": "A dog."}
    reward.close()
    again = served(server, tmp_path)
    again.score(PROBLEM, TEXTS)
    again.close()
    assert len([path for path, *_ in server.requests if path == "/pooling"]) == 3


@pytest.mark.parametrize("fault", ["500", "wait 7", "hang up", "half", "other JSON", "not a number", "no number"])
def test_a_rating_that_is_broken_is_asked_again(server: Server, tmp_path: Path, fault: str) -> None:
    reward = served(server, tmp_path, concurrency=1, cache=False)
    expected = reward.score(PROBLEM, TEXTS)
    other = Problem("q", PROBLEM.messages, PROBLEM.gold, kind="open")
    reward._scorer.client.stopped.wait = lambda seconds=None: False
    server.faults = [fault, fault]
    assert reward.score(other, TEXTS) == expected
    reward.close()


def test_a_server_that_is_gone_ends_in_a_sentence(server: Server, tmp_path: Path) -> None:
    reward = served(server, tmp_path, retries=1)
    server.always = "hang up"
    with pytest.raises(ServiceError, match="`m` gave no usable reply in 2 tries"):
        reward.score(PROBLEM, TEXTS)
    server.always = "three labels"
    with pytest.raises(ServiceError, match="gave 3 numbers for an answer; a reward model has one label"):
        reward.score(PROBLEM, TEXTS)
    reward.close()
