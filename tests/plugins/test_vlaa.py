"""VLAA-Thinking's pipeline on the pocket: what each step takes and drops, what is asked again, and what is counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from parity.subjects import load_policy, problems, stage_for, write_checkpoint
from tiny_runs import Home, stop_after
from warmrl_pocket.writer import PocketWriter
from warmrl_vlaa import curator as pipeline
from warmrl_vlaa.config import PerplexityConfig, VlaaConfig
from warmrl_vlaa.item import Item, has_any
from warmrl_vlaa.perplexity import Perplexity
from warmrl_vlaa.prompts import laid_out
from warmrl_vlaa.writing import Failed, written

from warmrl.api import Choice, Completion, Image, Message, Problem, Text, UsageError
from warmrl.domain.errors import Interrupted
from warmrl.domain.recipe import ModelTable
from warmrl.engine.processes import Processes
from warmrl.plugin.registry import Registry
from warmrl.testing import MetricContract, RewardContract

REGISTRY = Registry.installed()
RECIPE = Path(__file__).parents[2] / "recipes" / "data" / "vlaa_pipeline.toml"
STYLE = REGISTRY.instance(Choice(kind="answer style", use="tags", config=REGISTRY.get("answer style", "tags").config()))


def problem(name: str, image: str | None = "i", gold: str = "4", **extra: Any) -> Problem:
    images = [Image(image, lambda: None)] if image else []
    return Problem(name, (Message("user", (*images, Text(f"question {name}?"))),), gold, extra=extra)


TRACE = "<think> by the description 2 + 2 = 4 </think> 4"


class TestItem:
    item = Item(problem("a"), caption="two and two", trace=TRACE)

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            (TRACE, ("by the description 2 + 2 = 4", "4")),
            ("so </think>\n\\boxed{4}\n", ("so", "\\boxed{4}")),
            ("4", ("", "")),
            ("<think> so </think>", ("", "")),
            ("<think></think> 4", ("", "")),
            ("I think <think> so </think> 4", ("I think <think> so", "4")),
        ],
    )
    def test_reasoning_and_answer(self, text: str, parts: tuple[str, str]) -> None:
        assert replace(self.item, trace=text).parts == parts

    @pytest.mark.parametrize("text", ["4", "I think <think> so </think> 4", "<think> so </think> <answer> 4 </answer>"])
    def test_a_trace_that_the_style_cannot_hold(self, text: str) -> None:
        assert isinstance(self.item.reasoned(text, STYLE), str)

    def test_a_rewritten_text_is_about_as_long(self) -> None:
        found = self.item.rewritten(TRACE.replace("description", "image"), STYLE, 15)
        assert isinstance(found, Item) and "image" in found.trace
        longer = TRACE.replace(" 2", " word" * 15 + " 2", 1)
        assert isinstance(self.item.rewritten(longer, STYLE, 15), Item)
        assert self.item.rewritten(longer.replace("word", "word word", 1), STYLE, 15) == (
            "length changed by more than 15 words"
        )
        assert isinstance(self.item.rewritten("of it </think> 4", STYLE, 15), Item)

    @pytest.mark.parametrize("text", ["Yes", " yes.", '"Yes"', "**Yes**", "<think> it is no match </think>\nYes"])
    def test_yes(self, text: str) -> None:
        assert self.item.verified(text) is self.item

    @pytest.mark.parametrize(
        ("text", "why"), [("No", "wrong answer"), ("no.", "wrong answer"), ("", "neither yes nor no"),
                          ("Yes and no", "neither yes nor no")],
    )  # fmt: skip
    def test_no(self, text: str, why: str) -> None:
        assert self.item.verified(text) == why

    @pytest.mark.parametrize(
        ("text", "part"),
        [("Wait, it is 5", True), ("I checked it", True), ("against", True), ("HMM", True), ("it is 5", False),
         ("double check", True), ("I should confirm it", True), ("confirm", False)],
    )  # fmt: skip
    def test_reflection(self, text: str, part: bool) -> None:
        """The paper's substrings: `against` has `again`."""
        assert has_any(text, VlaaConfig.model_fields["words"].default) is part


def test_sections() -> None:
    assert laid_out("do it", right_answer="4", context="", answer="5\n6") == (
        "do it\n\n## Right answer\n4\n\n## Answer\n5\n6"
    )


WRITTEN = {
    "caption/a": "sees a",
    "caption/d": Failed("refused (HTTP 400)"),
    "reason/a": TRACE,
    "reason/b": TRACE.replace("by the", "wait, by the"),
    "reason/e": Failed("cut off"),
    "rewrite/a": TRACE,
    "rewrite/b": TRACE.replace("by the", "wait, by the"),
    "verify/a": "Yes",
    "verify/b": "Yes",
}


def curated(monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], given: list[Problem]) -> tuple[Any, Any, list[str]]:
    """What the curator makes with these texts, its stage, and what it asked."""
    prompts: list[str] = []

    def written(_stage: Any, _step: str, _choice: Any, requests: list[Problem], **sampling: Any) -> list[str]:
        for one in requests:
            assert not one.gold and (sampling["temperature"] > 0) == one.id.startswith("reason/")
            prompts.append("\n".join(part.text for part in one.messages[0].parts if isinstance(part, Text)))
        return [texts[one.id] for one in requests]

    monkeypatch.setattr(pipeline, "written", written)
    writer = {"use": "pocket_writer", "role": "captioner"}
    four = dict.fromkeys(("captioner", "reasoner", "rewriter", "verifier"), writer)
    config = VlaaConfig.model_validate(four, context={"registry": REGISTRY})
    stage = SimpleNamespace(name="s", problems=given, style=STYLE, findings=[], funnel=[], say=print)
    return pipeline.Vlaa(config, stage).curate(), stage, prompts


def test_six_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caption that is brought is not asked for; every problem is kept or dropped once at each step."""
    given = [
        problem("a"), problem("b", "j", caption="sees b", context="a scene"), problem("c"), problem("d", "k"),
        problem("e", "l", caption="sees e"), problem("f", None),
    ]  # fmt: skip
    made, stage, prompts = curated(monkeypatch, WRITTEN, given)
    funnel = {one.step: (one.taken, one.kept, dict(one.dropped)) for one in stage.funnel}
    assert funnel == {
        "metadata": (6, 4, {"image seen before": 1, "no image": 1}),
        "caption": (4, 3, {"refused (HTTP 400)": 1}),
        "reason": (3, 2, {"cut off": 1}),
        "rewrite": (2, 2, {}),
        "verify": (2, 2, {}),
    }
    one, other = made
    assert (one.id, one.extra) == ("a/vlaa", {"source": "a", "caption": "sees a", "part": "sft"})
    assert (other.extra["part"], other.extra["context"]) == ("rl", "a scene")
    assert one.solution == "<think> by the description 2 + 2 = 4 </think> <answer> 4 </answer>"
    reason = next(text for text in prompts if "## Question\nquestion b?" in text)
    assert "## Description\nsees b\n\n## Context\na scene" in reason
    assert "## Right answer\n4\n\n## Answer\n4" in prompts[-1]
    assert "4 problems on 4 sets of images (math 4); 2 bring a caption, 1 a context" in stage.findings[0]
    assert "1 worked answers without a word of reflection (part `sft`), 1 with one" in stage.findings[1]


def test_a_step_that_leaves_nothing_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"the step `caption` left none of 1 problems: cut off \(1\)"):
        curated(monkeypatch, {"caption/a": Failed("cut off")}, [problem("a")])


SMALL = ["data.warmup.limit=60", "sampler.block_size=16"]


def test_nothing_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, it goes on with the next block; with another verifier, the other three are not asked again."""
    asked: Counter[str] = Counter()
    whole = PocketWriter.generate

    def generate(self: PocketWriter, given: list[Problem], samples: int, **sampling: Any) -> Any:
        asked.update(one.id for one in given)
        return whole(self, given, samples, **sampling)

    monkeypatch.setattr(PocketWriter, "generate", generate)
    home = Home(tmp_path, RECIPE)
    with pytest.raises(Interrupted, match="32 of 60 texts of the step `caption` there"):
        home.run(SMALL, stopping=stop_after(2))
    assert len(asked) == 32
    home.run(SMALL)
    assert max(asked.values()) == 1 and sum(name.startswith("caption/") for name in asked) == 60
    (first,) = tmp_path.glob("store/*/done.json")
    funnel = json.loads(first.read_text())["funnel"]
    assert [one["step"] for one in funnel] == ["metadata", "caption", "reason", "rewrite", "verify"]
    for before, after in pairwise(funnel):
        assert after["taken"] == before["kept"] == after["kept"] + sum(after["dropped"].values())
    assert all(one["dropped"] for one in funnel[2:]) and funnel[-1]["kept"] > 30
    rows = [json.loads(line) for line in (first.parent / "problems.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) == funnel[-1]["kept"]
    assert {row["extra"]["part"] for row in rows} == {"sft", "rl"}
    assert all((" so " in row["solution"]) == (row["extra"]["part"] == "rl") for row in rows)
    before = asked.copy()
    home.run([*SMALL, "stage.pipeline.verifier.empty=0.5"])
    again = asked - before
    assert set(again) == {name for name in before if name.startswith("verify/")}


def test_what_was_written_before_a_kill_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer's tokens are kept beside its texts, a block at a time."""
    policy, made = load_policy(write_checkpoint(tmp_path / "model", 1)), []
    choice = Choice(
        kind="teacher", use="pocket_writer", config=REGISTRY.get("teacher", "pocket_writer").config(role="rewriter")
    )

    def total() -> dict[str, Any]:
        stage = stage_for(policy, VlaaConfig.model_construct(), tmp_path / "store" / "entry", Processes())
        stage.sampling = SimpleNamespace(block_size=2, choice=choice)  # type: ignore[assignment]
        stage.model = ModelTable(path="pocket:base")

        def attempt(some: list[Problem], **_: Any) -> list[Completion]:
            made.extend(some)
            stage.work.by_server(len(some))
            return [Completion((), "text", origin="teacher") for _ in some]

        nothing = {"keeps": False, "spent": list, "release": lambda: None}
        monkeypatch.setattr(stage, "teacher", lambda *_, **__: SimpleNamespace(attempt=attempt, **nothing))
        assert written(stage, "caption", choice, [problem(name) for name in "abc"], max_tokens=4) == ["text"] * 3
        work = stage.work.total([])
        assert work
        return work.record()

    assert total() == total() and len(made) == 3
    assert total()["teacher_tokens"] == 3


def test_perplexity(tmp_path: Path) -> None:
    """Against the logits of transformers, averaged over two models; a problem without a worked answer is left out."""
    own, other = (load_policy(write_checkpoint(tmp_path / str(seed), seed)) for seed in (1, 2))
    texts = ["<think> read 7 and 5 </think> <answer> 35 </answer>", "read 3", "<answer> 8 </answer>", None]
    given = [
        replace(one, id=str(number), solution=text)
        for number, (one, text) in enumerate(zip(problems((0, 0, 0, 0)), texts, strict=True))
    ]
    expected = []
    for one in given[:3]:
        perplexities = []
        for policy in (own, other):
            prompt, answer = policy.encode_prompt(one.messages).ids, torch.tensor(policy.encode_answer(one.solution))
            logits = policy.model(input_ids=torch.cat([prompt, answer])[None]).logits[0, len(prompt) - 1 : -1]
            perplexities.append(float(torch.nn.functional.cross_entropy(logits, answer).exp().detach()))
        expected.append(sum(perplexities) / 2)

    def chosen(**settings: Any) -> tuple[dict[str, float], Any]:
        config = PerplexityConfig.model_validate({"models": ["base", "o"], **settings})
        stage = stage_for(own, config, tmp_path, Processes())
        stage.problems, stage.sampling = given, SimpleNamespace(block_size=2)
        stage.style = SimpleNamespace(instruction=lambda: "")
        stage.checkpoint = {"base": own, "o": other}.__getitem__
        for file in tmp_path.glob("blocks/*"):
            file.unlink()
        return {one.id: one.extra["perplexity"] for one in Perplexity(config, stage).curate()}, stage.funnel[0]

    order = sorted(range(3), key=lambda place: -expected[place])
    high, funnel = chosen(keep=2)
    assert high == {f"{place}/chosen": pytest.approx(expected[place], rel=1e-4) for place in sorted(order[:2])}
    assert (funnel.taken, funnel.kept) == (4, 2)
    assert funnel.dropped == {"no worked answer": 1, "not among the highest": 1}
    assert set(chosen(keep=1, order="lowest")[0]) == {f"{order[-1]}/chosen"}
    assert len(chosen(keep=9)[0]) == 3


class TestReflectionReward(RewardContract):
    plugin = "warmrl_vlaa"
    name = "reflection"
    settings: ClassVar = {"weight": 0.0}
    right = ("Wait, it is 4", "I should check it", "to await it", "ALTERNATIVELY")
    wrong = ("4", "", "I checked it", "double check")


class TestReflectionMetric(MetricContract):
    plugin = "warmrl_vlaa"
    name = "reflection"
