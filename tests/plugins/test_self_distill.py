"""The curator `self_distill`: which answers become pairs, where each side comes from, what is counted and refused."""

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from misbehaving_server import serving
from pydantic import ValidationError
from warmrl_answers.boxed import Boxed
from warmrl_answers.config import BoxedConfig, TagsConfig
from warmrl_answers.tags import Tags
from warmrl_rewards.config import MathConfig
from warmrl_rewards.math import Math
from warmrl_specs.config import SelfDistillConfig
from warmrl_specs.corruptions import CORRUPTIONS
from warmrl_specs.self_distill import SelfDistill
from warmrl_teachers.config import ServerConfig
from warmrl_teachers.server import ServerTeacher

from warmrl.api import Choice, Completion, Group, Message, Problem, RecipeError, Text, UsageError
from warmrl.engine import recipe_file
from warmrl.engine.randomness import generator
from warmrl.engine.work import Tally

STYLE = Tags(TagsConfig())
GOOD = "<think> 2 * {n} = {g} </think> <answer> {g} </answer>"
OTHER = "<think> read {n} . 2 * {n} = {g} </think> <answer> {g} </answer>"
UNASKABLE = "<think> so 2 * {n} = {g} </think> <answer> {g} </answer>"
ASIDE = "<think> 2 * {n} = 99 </think> <answer> {g} </answer>"
RAW = "2 * {n} = {g} <answer> {g} </answer>"
WRONG = "<think> 2 * {n} = 99 </think> <answer> 99 </answer>"


class Model:
    """Where a policy is."""

    def __init__(self):
        self.places = []

    def to(self, place):
        self.places.append(place)


class Stage:
    """As much of a stage as the curator needs; `chosen` and `base` are what the policies answer to every problem."""

    def __init__(self, chosen, base=(), count=6, style=STYLE, teacher=None):
        self.name, self.style, self.grader = "pairs", style, Math(MathConfig(), style)
        self.problems = [self.problem(n) for n in range(2, 2 + count)]
        self.answers = {"chosen": chosen, "base": base}
        self.policy = SimpleNamespace(model=Model(), device="accelerator")
        self.processes = SimpleNamespace(agree=lambda value: value, rank=0, world=1)
        self.findings, self.funnel, self.drawn = [], [], []
        self.other = SimpleNamespace(model=Model())
        self.checkpoint = {"zero": self.other}.__getitem__
        self.teacher = lambda choice, plain: teacher

    def problem(self, n):
        return Problem(f"p/{n}", (Message("user", (Text(f"twice {n} ?"),)),), gold=str(2 * n), extra={"of": "data"})

    def rng(self, purpose, step=0, item=0):
        return generator(1, self.name, purpose, step, item)

    def in_blocks(self, make, problems=None, *, name=""):
        rows = make(self.problems if problems is None else problems)
        return json.loads(json.dumps(rows))  # as they come back from a kept block

    def sample_from(self, policy, problems, samples, purpose, **sampling):
        assert sampling == {"max_tokens": 32, "temperature": 1.0}
        places = [one.model.places[-1:] for one in (self.policy, self.other)]
        self.drawn.append((purpose, policy, len(problems), places))
        out = []
        for problem in problems:
            texts = (self.answers[purpose] * samples)[:samples]
            filled = [text.format(n=int(problem.gold) // 2, g=problem.gold) for text in texts]
            ends = ["length" if text.endswith("<answer>") else "stop" for text in filled]
            out.append(
                Group(problem, [Completion((1,), text, finish=end) for text, end in zip(filled, ends, strict=True)])
            )
        return out


def curated(stage, **settings):
    config = SelfDistillConfig.model_validate({"samples_per_prompt": 4, "max_tokens": 32, "keep": 2, **settings})
    return SelfDistill(config, stage).curate()


def steps(stage):
    return {one.step: (one.taken, one.kept, dict(one.dropped)) for one in stage.funnel}


def test_pairs_of_the_base():
    stage = Stage([GOOD, OTHER, WRONG, ASIDE], [RAW, WRONG, GOOD, RAW], count=60)
    pairs = curated(stage)
    assert [pair.id for pair in pairs[:3]] == ["p/2/pair0", "p/2/pair1", "p/3/pair0"]
    assert len(pairs) == 120
    for number, pair in enumerate(pairs):
        n = int(pair.gold) // 2
        origin = pair.extra["rejected_from"]
        source = (RAW, GOOD)[number % 2].format(n=n, g=pair.gold)  # the base's right answers in turn
        assert pair.solution == (GOOD, OTHER)[number % 2].format(n=n, g=pair.gold)
        assert pair.rejected == CORRUPTIONS[origin["corruption"]](source) != pair.solution
        assert not STYLE.well_formed(pair.rejected)
        assert origin.get("unchanged", False) == (pair.rejected == source)
        assert origin["checkpoint"] == "base"
        assert origin["sample"] == (0, 2)[number % 2]
        assert pair.extra["chosen_from"] == {"checkpoint": "zero", "sample": number % 2}
        assert pair.extra["source"] == f"p/{n}"
        assert pair.extra["of"] == "data"
    drawn = Counter(pair.extra["rejected_from"]["corruption"] for pair in pairs)
    assert set(drawn) == set(CORRUPTIONS)
    assert min(drawn.values()) > 120 / 5 / 2
    assert steps(stage)["right"] == (240, 180, {"wrong": 60})
    assert steps(stage)["consistent"] == (180, 120, {"another conclusion": 60})
    assert steps(stage)["paired"] == (120, 120, {})
    assert stage.findings == ["Pairs `pairs`: 120, of 60 of 60 problems."]
    # One policy on the device at a time.
    assert stage.drawn == [
        ("chosen", stage.other, 60, [["cpu"], []]),  # the other is where it was loaded
        ("base", stage.policy, 60, [["accelerator"], ["cpu"]]),
    ]


def test_the_draw_is_the_problems_own():
    whole = {pair.id: pair.rejected for pair in curated(Stage([GOOD], [GOOD], count=8))}
    few = {pair.id: pair.rejected for pair in curated(Stage([GOOD], [GOOD], count=3))}
    assert few == {name: whole[name] for name in few}


def test_corrupted_chosen():
    stage = Stage([GOOD, OTHER])
    pairs = curated(stage, rejected_from="chosen")
    for pair in pairs:
        origin = pair.extra["rejected_from"]
        assert origin["checkpoint"] == "zero"
        assert origin["sample"] == pair.extra["chosen_from"]["sample"]
        assert pair.rejected == CORRUPTIONS[origin["corruption"]](pair.solution)
    assert [one[0] for one in stage.drawn] == ["chosen"]  # the base is not asked


@pytest.mark.parametrize(("base", "checkpoint"), [([RAW], "base"), ([WRONG], "zero")])
def test_both_takes_the_base_first(base, checkpoint):
    pairs = curated(Stage([GOOD], base), rejected_from="both")
    assert {pair.extra["rejected_from"]["checkpoint"] for pair in pairs} == {checkpoint}


def test_coupled_pairs_differ_in_what_they_say():
    stage = Stage([GOOD], [GOOD, RAW, WRONG, "no idea"])
    pairs = curated(stage, coupled=True, keep=1)
    assert {pair.rejected for pair in pairs} == {WRONG.format(n=n, g=2 * n) for n in range(2, 8)}
    assert {json.dumps(pair.extra["rejected_from"]) for pair in pairs} == {
        '{"checkpoint": "base", "sample": 2, "corruption": null}'
    }


def test_keep_and_the_same_text_again():
    stage = Stage([GOOD, GOOD, OTHER], [RAW])
    assert len(curated(stage, keep=1)) == 6
    found = steps(stage)
    assert found["distinct"] == (24, 12, {"the same text again": 12})
    assert found["kept"] == (12, 6, {"more than `keep`": 6})


def test_without_the_check():
    assert len(curated(Stage([ASIDE], [RAW]), consistent=False)) == 6


LACKING = [
    ([WRONG], [RAW], r"`right` was left by none of 24: wrong \(24\). Train the chosen policy longer"),
    (["<think> 4 </think> <answer>"], [RAW], "`finished` .* Raise `max_tokens`"),
    ([RAW], [RAW], r"`well-formed` was left by none of 24: ill-formed \(24\)"),
    ([ASIDE], [RAW], "`consistent` .* ask a `judge`"),
    ([GOOD], [WRONG], r"`paired` .*the base has no right answer \(6\).*rejected_from = \"both\""),
]


@pytest.mark.parametrize(("chosen", "base", "said"), LACKING)
def test_no_pair_says_what_was_lacking(chosen, base, said):
    with pytest.raises(UsageError, match=said):
        curated(Stage(chosen, base))


def test_other_styles_are_refused():
    specs = Path(__file__).parents[2] / "recipes" / "specs.toml"
    with pytest.raises(RecipeError, match=r"`stage.pairs`: .* stays well formed without"):  # before `zero` is paid for
        recipe_file.read(specs, ['answer={use="boxed"}'])
    recipe_file.read(specs, ['answer={use="boxed"}', "stage.pairs.coupled=true", "stage.pairs.rejected_from='base'"])
    boxed = ["<think> 2 * {n} = {g} </think> \\boxed{{{g}}}"]
    assert len(curated(Stage(boxed, ["\\boxed{{1}}"], style=Boxed(BoxedConfig())), coupled=True)) == 6


@pytest.mark.parametrize(
    "settings",
    [{"coupled": True, "rejected_from": "both"}, {"keep": 9}, {"consistent": False, "judge": "server"}],
)
def test_settings_that_do_not_go_together(settings):
    config = ServerConfig(model="m", urls=["http://127.0.0.1:1/v1"])
    choice = {"judge": Choice(kind="teacher", use="server", config=config)} if "judge" in settings else {}
    with pytest.raises(ValidationError):
        SelfDistillConfig.model_validate({**settings, **choice})


def test_a_judge_behind_http(tmp_path):
    """It is asked once for each text, and says yes to what the rule would not take; what it says otherwise counts.

    So does a request that it refuses, which is asked again the next time.
    """
    processes = SimpleNamespace(rank=0, world=1, together=nullcontext, gather=lambda told: told)
    with serving() as server:
        server.answer = lambda body: verdict(body["messages"][0]["content"])
        server.plan = lambda body, came: "400" if "so 2" in body["messages"][0]["content"] else ""
        config = ServerConfig(model="m", urls=[server.url], cache_folder=str(tmp_path))
        choice = Choice(kind="teacher", use="server", config=config)
        own = {"processes": processes, "style": None, "policy": None, "work": Tally()}
        place = SimpleNamespace(name="pairs", seed=1, folder=tmp_path, **own)
        for _ in range(2):
            teacher = ServerTeacher(config, place)
            stage = Stage([ASIDE, GOOD, OTHER, UNASKABLE], [RAW], count=2, teacher=teacher)
            pairs = curated(stage, judge=choice)
            assert [pair.solution[:13] for pair in pairs] == ["<think> 2 * 2", "<think> 2 * 3"]
            assert all("= 99" in pair.solution for pair in pairs)
            dropped = {"the judge said no": 2, "a reply that is neither yes nor no": 2, "refused (HTTP 400)": 2}
            assert steps(stage)["consistent"] == (8, 2, dropped)
            assert stage.findings[0].startswith("The teacher `m` gave 6 replies")
            assert stage.findings[1].startswith("Given up: 2 requests")
        assert len(server.asked()) == 6 + 2 * 2


def verdict(prompt):
    return "Yes." if "= 99" in prompt else "no" if "read" in prompt else "who knows"
