"""The teacher `server` against servers that misbehave, and what it keeps, asks and refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from misbehaving_server import VOCAB, Server, logprobs, serving
from parity.subjects import canned_groups, load_policy, problems, stage_for, write_checkpoint
from warmrl_opd.config import OPDConfig
from warmrl_teachers.config import TracesConfig
from warmrl_teachers.server import ServerTeacher

from warmrl.api import Choice, Problem, UsageError, WarmrlError
from warmrl.engine.launch import free_port
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.plugin.registry import Registry

REGISTRY = Registry.installed()
PROBLEMS = problems((1, 0))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return load_policy(write_checkpoint(tmp_path_factory.mktemp("student"), 1))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


class Unhurried(threading.Event):
    """Never waits, and remembers for how long it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


Make = Callable[..., ServerTeacher]


@pytest.fixture
def make(policy: Policy, server: Server, tmp_path: Path) -> Iterator[Make]:
    """A teacher for a stage that distils by top-k or sampled tokens, or from text, that loses no time on waiting."""

    built: list[ServerTeacher] = []

    def build(stage: dict[str, Any] | None = None, **settings: Any) -> ServerTeacher:
        teacher = {"use": "server", "model": "m", "kind": "vllm", "urls": [server.url], **settings}
        kind = TracesConfig if stage is None else OPDConfig
        config = kind.model_validate({**(stage or {}), "teacher": teacher}, context={"registry": REGISTRY})
        (tmp_path / "store" / "entry").mkdir(parents=True, exist_ok=True)
        found = stage_for(policy, config, tmp_path / "store" / "entry", Processes())
        found.style = REGISTRY.instance(
            Choice(kind="answer style", use="tags", config=REGISTRY.get("answer style", "tags").config())
        )
        found.problems = PROBLEMS
        made = REGISTRY.instance(config.teacher, found)
        made.client.stopped = Unhurried()
        built.append(made)
        return made

    yield build
    for one in built:
        one.release()


def drawn(teacher: ServerTeacher, samples: int = 2, of: list[Problem] = PROBLEMS) -> list[list[str]]:
    found = teacher.generate(of, samples, max_tokens=9, temperature=0.7)
    return [[one.text for one in completions] for completions in found]


def test_an_answer(make: Make, server: Server, policy: Policy) -> None:
    """Messages in order with the instruction, the image as a PNG, a seed for each; tokens of the student."""
    server.faults = ["", "", "", "cut off"]
    teacher = make(concurrency=1)
    found = teacher.generate(PROBLEMS, 2, max_tokens=9, temperature=0.7)
    first, *_, last = server.asked()
    assert len({body["seed"] for body in server.asked()}) == 4
    assert (first["model"], first["max_tokens"], first["temperature"], first["n"]) == ("m", 9, 0.7, 1)
    image, *texts = first["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert "<answer>" in texts[-1]["text"]
    assert isinstance(last["messages"][0]["content"], str)
    one, cut = found[0][0], found[1][1]
    assert one.tokens == policy.encode_answer(one.text) and (one.origin, one.finish) == ("teacher", "stop")
    took = teacher.engine.work.now
    assert took.teacher_tokens == 4 * 20, "as the server says"
    assert took.flops["teacher"] is None and took.samples == 0
    assert cut.finish == "length" and cut.tokens == policy.encode_answer(cut.text)[:-1]


PASSING = ["wait 7", "429", "500", "503", "hang up", "truncated", "half", "other JSON"]


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again(fault: str, make: Make, server: Server) -> None:
    expected = drawn(make(cache=False))
    server.requests.clear()
    server.faults = [fault, fault]
    teacher = make(cache=False, retries=2, concurrency=1)
    assert drawn(teacher) == expected
    assert len(server.asked()) == 6
    waits = [one for one in teacher.client.stopped.waits if one]
    if fault == "wait 7":
        assert min(waits[:2]) > 6
    else:
        assert len(waits) == 2 and 0 < waits[0] < 2 * waits[1]


def test_a_missed_deadline_is_tried_again(make: Make, server: Server) -> None:
    server.faults = ["late"]
    assert len(drawn(make(deadline=0.5, concurrency=1), 1)) == 2
    assert len(server.asked()) == 3


@pytest.mark.parametrize("fault", [*PASSING, "late"])
def test_what_does_not_pass_ends_in_one_sentence(fault: str, make: Make, server: Server) -> None:
    server.always = fault
    with pytest.raises(WarmrlError, match=r"`m` gave no usable reply in 2 tries; .*/v1/chat/completions: ") as raised:
        drawn(make(retries=1, deadline=0.3, concurrency=1), 1)
    assert not isinstance(raised.value, UsageError) and "\n" not in str(raised.value)
    assert len(server.asked()) == 2


@pytest.mark.parametrize(("fault", "words"), [("400", "HTTP 400"), ("401", "HTTP 401"), ("two choices", "2 choices")])
def test_what_will_not_pass_is_not_tried_again(fault: str, words: str, make: Make, server: Server) -> None:
    server.always = fault
    with pytest.raises(WarmrlError, match=words):
        drawn(make(concurrency=1), 1)
    assert len(server.asked()) == 1


def attempted(teacher: ServerTeacher, count: int) -> list[str]:
    """What comes of one request for each of so many problems: its text, or why there is none."""
    many = [replace(PROBLEMS[0], id=str(number)) for number in range(count)]
    return [one if isinstance(one, str) else "text" for one in teacher.attempt(many, max_tokens=9, temperature=0.0)]


def test_single_requests_are_given_up(make: Make, server: Server) -> None:
    """After all retries, or refused; what was given up is asked again by the next, and nothing else is."""
    bad = dict.fromkeys(range(2), "half") | {4: "400", 5: "two choices"}
    order: list[int] = []

    def plan(body: Any, _came: int) -> str:
        order.extend([] if body["seed"] in order else [body["seed"]])
        return bad.get(order.index(body["seed"]), "")

    server.plan = plan
    teacher = make(retries=1, concurrency=1, price_in=2.0, price_out=10.0)
    no = "no usable reply"
    assert attempted(teacher, 12) == [no, no, "text", "text", "refused (HTTP 400)", no, *["text"] * 6]
    assert len(server.asked()) == 12 + 2
    cost, gone = teacher.spent()
    assert cost == (
        "The teacher `m` gave 8 replies: 240 prompt and 160 completion tokens, 0.00208 at the prices given."
    )
    assert gone.startswith("Given up: 4 requests; the first: The teacher `m` gave no usable reply in 2 tries")
    server.plan = None
    assert attempted(make(concurrency=1), 12) == ["text"] * 12
    assert len(server.asked()) == 12 + 2 + 4 and not server.repeated


@pytest.mark.parametrize(("fault", "asked"), [("401", 1), ("404", 1), ("500", 9)])
def test_a_server_that_is_of_no_use_ends_it(fault: str, asked: int, make: Make, server: Server) -> None:
    """A refusal of all requests, and more given up than answered: no dataset of holes."""
    server.always = fault
    with pytest.raises(WarmrlError, match=f"HTTP {fault}"):
        attempted(make(retries=0, concurrency=1), 30)
    assert len(server.asked()) == asked


def test_a_dead_server_loses_nothing(make: Make, server: Server) -> None:
    attempted(make(), 3)
    dead = make(urls=[f"http://127.0.0.1:{free_port()}/v1"], retries=0, concurrency=1)
    with pytest.raises(WarmrlError, match="replies that came are kept"):
        attempted(dead, 4)
    assert attempted(make(), 4) == ["text"] * 4
    assert len(server.asked()) == 4


def test_reasoning_that_comes_apart(make: Make) -> None:
    assert drawn(make(reasoning=True))[0][0].startswith("<think>hm</think><answer>")
    assert drawn(make())[0][0].startswith("<answer>")


def test_half_a_surrogate_pair_is_replaced(make: Make, server: Server) -> None:
    server.answer = lambda body: "hm \ud83d, \ud83d\ude00"
    assert drawn(make(), samples=1) == [["hm \ufffd, \U0001f600"]] * len(PROBLEMS)


def test_a_dead_server_is_passed_over(make: Make, server: Server) -> None:
    """Without a retry, without a wait: the other one answers, and is asked alone from then on."""
    expected = drawn(make(cache=False))
    dead = f"http://127.0.0.1:{free_port()}/v1"
    teacher = make(cache=False, urls=[dead, server.url], retries=0, concurrency=1)
    assert drawn(teacher) == expected
    assert not any(teacher.client.stopped.waits)
    assert teacher.client.servers.over[0] > 0 and teacher.client.servers.over[1] == 0
    with pytest.raises(WarmrlError, match="no usable reply in 1 tries"):
        drawn(make(cache=False, urls=[dead], retries=0))


def test_servers_are_asked_in_turn(make: Make, server: Server) -> None:
    with serving() as other:
        drawn(make(urls=[server.url, other.url], concurrency=1))
        assert len(server.asked()) == len(other.asked()) == 2


def test_no_more_at_once_than_allowed(make: Make, server: Server) -> None:
    """Three at once get through a gate that opens for three, and never is there a fourth."""
    server.gate = threading.Barrier(3, timeout=60)
    drawn(make(concurrency=3), 6)
    assert (server.peak, len(server.asked())) == (3, 12)


def test_nothing_is_asked_twice(make: Make, server: Server, tmp_path: Path) -> None:
    """A second run, also at another address, is served from the disk; torn and changed entries are asked again."""
    first = drawn(make())
    groups = scored(make({"top_k": 4}), "top-k", 4)
    server.requests.clear()
    urls = [f"http://127.0.0.1:{free_port()}/v1"]
    assert drawn(make(urls=urls)) == first
    assert scored(make({"top_k": 4}, urls=urls), "top-k", 4) == groups
    files = sorted((tmp_path / "teacher-cache").rglob("*.json"))
    assert len(files) == 4 + len(groups)
    chats = [file for file in files if "answer" in file.read_text()]
    chats[0].write_bytes(chats[0].read_bytes()[:-9])
    chats[1].write_text(chats[1].read_text().replace("answer", "anwser"))
    assert drawn(make()) == first
    assert len(server.asked()) == 2
    assert drawn(make(), 3) != first
    assert len(server.asked()) == 4


def test_the_key_is_written_nowhere(
    make: Make, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="`TEACHERS_KEY`, and it is not set"):
        make(api_key_env="TEACHERS_KEY")
    monkeypatch.setenv("TEACHERS_KEY", "sk-very-secret")
    teacher = make(api_key_env="TEACHERS_KEY", concurrency=1)
    drawn(teacher)
    assert {headers["Authorization"] for *_, headers in server.requests} == {"Bearer sk-very-secret"}
    for fault in ("401", "500"):
        server.always = fault
        with pytest.raises(WarmrlError, match=r"no, Bearer \*\*\*"):
            drawn(teacher, 5)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files and not any(b"very-secret" in file.read_bytes() for file in files)
    assert "secret" not in repr(teacher.config)


def scored(teacher: ServerTeacher, form: str, top_k: int = 0) -> list[dict[str, Any]]:
    """Every completion's signals after scoring, as lists."""
    groups = canned_groups(teacher.engine.policy)
    teacher.score(groups, form, top_k)
    return [
        {"tokens": one.tokens, "prompt": teacher.engine.policy.encode_prompt(group.views[0]).ids.tolist()}
        | {name: value.tolist() for name, value in one.signals.items() if torch.is_tensor(value)}
        for group in groups
        for one in group.completions
    ]


def test_scores(make: Make, server: Server) -> None:
    """The right rows, behind images too, which are sent once and unexpanded; ids and log-probabilities as served."""
    for top, sampled in zip(
        scored(make({"top_k": 5}), "top-k", 5), scored(make({"divergence": "sampled"}), "sampled"), strict=True
    ):
        for place, token in enumerate(top["tokens"]):
            logs = torch.tensor(logprobs(len(top["prompt"]) + place))
            assert top["teacher_top_ids"][place] == logs.topk(5).indices.tolist()
            assert top["teacher_top_logprobs"][place] == pytest.approx(logs.topk(5).values.tolist(), abs=1e-6)
            assert sampled["teacher_logprob"][place] == pytest.approx(float(logs[token]), abs=1e-6)
    body = max(server.asked(), key=lambda one: len(one["content_parts"] or ()))
    assert len(body["content_parts"]) == 2 == body["token_ids"].count(3)


def test_tokens_that_the_student_lacks_are_left_out(make: Make, server: Server) -> None:
    """The teacher's head has padding rows: where one is among the k, one less is known."""
    server.vocabulary = VOCAB + 16
    found = scored(make({"top_k": 5}), "top-k", 5)
    ids = torch.cat([torch.tensor(one["teacher_top_ids"]) for one in found])
    assert int(ids.max()) < VOCAB and bool((ids == -1).any())
    assert bool((ids.sort(1, descending=True).values[:, 0] >= 0).all())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no logprobs", "gave no log-probabilities"),
        ("no tokens", "gave which tokens it read"),
        ("too few", "scored 33 tokens of 34"),
        ("not a number", "a broken reply"),
        ("404", "`--enable-scale-out`"),
    ],
)
def test_scores_that_are_none_are_refused(fault: str, words: str, make: Make, server: Server) -> None:
    server.always = fault
    with pytest.raises(WarmrlError, match=words):
        scored(make({"top_k": 5}, retries=0, concurrency=1), "top-k", 5)


def test_other_tokens_are_refused(make: Make, server: Server) -> None:
    server.expanded = server.expanded[:-1]
    words = r"read \d+ tokens where the student has \d+, and they part at token \d+: it sees"
    with pytest.raises(UsageError, match=words):
        scored(make({"top_k": 5}), "top-k", 5)


def test_preflight(make: Make, server: Server, policy: Policy) -> None:
    """The model, the tokens, one scored problem; a text's tokens do not matter to who only distils from text."""
    server.tokens = lambda text: policy.tokenizer(text)["input_ids"]
    found = make({"top_k": 5}).preflight(policy)
    assert found[0] == "The teacher `m` is served." and "has the student's" in found[1]
    assert len(server.asked()) == 1
    server.tokens = lambda text: policy.tokenizer(text)["input_ids"][1:]
    with pytest.raises(UsageError, match="does not speak the student's tokens"):
        make({"top_k": 5}).preflight(policy)
    assert make().preflight(policy) == found[:1]
    server.tokens = None
    assert "WARNING" in make({"top_k": 5}).preflight(policy)[1]
    with pytest.raises(UsageError, match=r"`teacher\.model` is `other`, and the server has m"):
        make(model="other").preflight(policy)


def test_each_process_asks_for_its_share(make: Make, server: Server, policy: Policy) -> None:
    """Of two processes each scores what it trains on; answers and sampled tokens' scores reach both."""
    alone = drawn(make(cache=False)), scored(make({"divergence": "sampled"}, cache=False), "sampled")
    places = [(g, n) for g, group in enumerate(canned_groups(policy)) for n in range(len(group.completions))]
    meeting, told = threading.Barrier(2, timeout=60), {}

    def process(rank: int) -> tuple[Any, ...]:
        """What one of two processes ends with."""

        def gather(mine: list[Any]) -> list[Any]:
            told[rank] = mine
            meeting.wait()
            both = [*told[0], *told[1]]
            meeting.wait()
            return both

        out = []
        for stage in (None, {"divergence": "sampled"}, {"top_k": 3}):
            teacher = make(stage, cache=False)
            teacher.engine = engine = copy(teacher.engine)
            engine.processes = SimpleNamespace(rank=rank, world=2, gather=gather, together=nullcontext)
            engine.mine = lambda _groups: set(places[rank::2])
            out.append(drawn(teacher) if stage is None else scored(teacher, engine.config.form, 3))
        return tuple(out)

    server.requests.clear()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(process, range(2)))
    assert len(server.asked()) == 4 + 2 * len(places)
    assert found[0][:2] == found[1][:2] == alone
    known = [[one["teacher_top_ids"][0][0] >= 0 for one in of[2]] for of in found]
    assert known == [[number % 2 == rank for number in range(len(places))] for rank in range(2)]
