"""The sampler `vllm` with servers, without a vLLM: the protocol with an engine of canned answers, and servers that
refuse, hang, die in the middle of an answer, or talk nonsense."""

import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import PIL.Image
import pytest
import torch
from fake_engine import FakeEngine, serving
from warmrl_vllm import transfer
from warmrl_vllm.asks import Ask, Prompt, Rules
from warmrl_vllm.client import TOKEN, Client
from warmrl_vllm.config import VLLMConfig
from warmrl_vllm.engine import sampling
from warmrl_vllm.remote import Asker
from warmrl_vllm.sampler import VLLM

from warmrl.api import Image, Message, Request, ServiceError, Text
from warmrl.engine.checkpoints import find
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.plugin.registry import Registry

# What a server in trouble is told to take: enough for a slow machine, too little for a hang to pass.
SOON = 3.0


@pytest.fixture(scope="module")
def policy():
    return Policy.load(find("pocket:base", None, Registry.installed()))


def picture(key, red):
    return Image(key, lambda: PIL.Image.new("RGB", (56, 56), (red, 0, 0)))


def requests(*pictures, seeds=(3, 12)):
    return [Request((Message("user", (one, Text("area ?"))),), seeds, 4) for one in pictures]


def sampler_of(*urls, processes=None, **settings):
    return VLLM(VLLMConfig(urls=list(urls), **{"deadline": 20.0} | settings), processes or Processes())


def test_weights_and_completions_go_through(policy):
    with serving() as server:
        sampler = sampler_of(server.url)
        sampler.sync(policy)
        engine = server.service.engine
        assert engine.weights.keys() == dict(policy.weights()).keys()
        assert all(torch.equal(engine.weights[name], value) for name, value in policy.weights())
        assert json.loads(engine.config)["model_type"] == "idefics3"
        stop = min(policy.stop_ids)
        first, second = sampler.sample(requests(picture("a", 10), picture("b", 20)))
        assert [one.tokens for one in first] == [(3, stop), (5, stop)]
        assert [one.logprobs for one in first] == [(-1.0, -10.0)] * 2
        assert [one.logprobs for one in second] == [(-1.0, -20.0)] * 2
        assert all(one.finish == "stop" for one in first)
        sampler.close()


def test_each_image_is_sent_once_and_again_when_the_server_lost_it(policy):
    with serving() as server:
        sampler = sampler_of(server.url)
        sampler.sync(policy)
        sent, post = [], sampler.backend.mine.client.post
        sampler.backend.mine.client.post = lambda path, body: (sent.append(len(body["images"])), post(path, body))[1]
        for _ in range(2):
            sampler.sample(requests(picture("a", 10), picture("b", 20), picture("the same pixels", 10)))
        assert sent == [2, 0]
        server.service.images.clear()
        drawn = sampler.sample(requests(picture("a", 10), picture("b", 20)))
        assert sent == [2, 0, 0, 2]
        assert [one[0].logprobs[1] for one in drawn] == [-10.0, -20.0]


def test_a_frozen_policy_goes_once_and_a_training_one_each_time(policy):
    with serving(sleep=True) as server:
        sampler = sampler_of(server.url)
        versions = []
        for frozen in (True, True, False, False):
            policy.model.requires_grad_(not frozen)
            sampler.sync(policy)
            versions.append(server.service.version)
        assert len(set(versions)) == 3
        sampler.rest()
        assert server.service.version is None, "it gave its weights' memory back"
        policy.model.requires_grad_(False)
        sampler.sync(policy)
        sampler.sync(policy)
        assert len(sampler.sample(requests(picture("a", 10)))) == 1
        policy.model.requires_grad_(True)


def test_a_server_that_was_started_again_has_other_weights(policy):
    with serving() as server:
        port, sampler = server.server_port, sampler_of(server.url)
        sampler.sync(policy)
    with serving(port) as server:
        sampler.backend.mine.client.http = Client(server.url, 20).http  # a real restart ends connections
        with pytest.raises(ServiceError, match=r"it has no weights and was asked for .* The same command"):
            sampler.sample(requests(picture("a", 10)))
        sampler.sync(policy)
        assert len(sampler.sample(requests(picture("a", 10)))) == 1
        other = sampler_of(server.url)
        other.sync(policy)
        with pytest.raises(ServiceError, match="another run uses it"):
            sampler.sample(requests(picture("a", 10)))


class Pair:
    """Two processes that take turns in one: rank 1 hears what rank 0 said."""

    def __init__(self, rank, said):
        self.rank, self.world, self.first, self.said, self.machines = rank, 2, rank == 0, said, 1

    def agree(self, value):
        if self.first:
            self.said.append(value)
            return value
        return self.said.pop(0)


def test_two_processes_two_servers(policy):
    said = []
    with serving() as one, serving() as two:
        ranks = [sampler_of(one.url, two.url, processes=Pair(rank, said)) for rank in range(2)]
        for sampler in ranks:
            sampler.sync(policy)
        assert one.service.version == two.service.version
        for sampler in ranks:
            sampler.sample(requests(picture("a", 10)))
        assert len(one.service.engine.opened) == len(two.service.engine.opened)


def test_a_token_keeps_strangers_out(policy, monkeypatch):
    with serving(token="secret") as server:
        with pytest.raises(ServiceError, match="401"):
            sampler_of(server.url).sync(policy)
        monkeypatch.setenv(TOKEN, "secret")
        sampler_of(server.url).sync(policy)


def test_web_pages_may_not_ask():
    with serving() as server:
        client = Client(server.url, 10)
        client.http.headers["Origin"] = "http://example.com"
        with pytest.raises(ServiceError, match="web pages"):
            client.health()


@pytest.mark.parametrize("path", ["/sample", "/load", "/nothing", "/__init__", "/close"])
def test_nonsense_is_refused_and_the_server_lives(path):
    with serving() as server:
        client = Client(server.url, 10)
        with pytest.raises(ServiceError, match="refused"):
            client.post(path, {"fingerprint": 1})
        assert client.health()["version"] is None


def test_an_engine_that_fails_says_why(policy):
    class Broken(FakeEngine):
        def sample(self, asks, rules, image):
            raise RuntimeError("out of memory")

    with serving(start=Broken) as server:
        sampler = sampler_of(server.url)
        sampler.sync(policy)
        with pytest.raises(ServiceError, match="out of memory"):
            sampler.sample(requests(picture("a", 10)))


def test_damaged_and_missing_weights_are_refused(policy, tmp_path):
    weights = [("a", torch.ones(3)), ("b", torch.zeros(2, 2))]
    with transfer.place(str(tmp_path)) as folder:
        files = transfer.write(weights, folder, torch.float32)
        assert {name: value.shape for name, value in transfer.read(files)} == {n: v.shape for n, v in weights}
        assert folder.stat().st_mode & 0o077 == 0
        (file,) = folder.iterdir()
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(ServiceError, match="checksum"):
            list(transfer.read(files))
    with pytest.raises(ServiceError, match="same machine"):
        list(transfer.read(files))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_in_memory_goes(tmp_path):
    old, new = (tmp_path / f"{transfer.PREFIX}999999999-{name}" for name in ("old", "new"))
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    with transfer.place(str(tmp_path)) as folder:
        assert {*tmp_path.iterdir()} == {new, folder}, "another container's process may be writing the new one"


def test_no_room_for_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _folder: SimpleNamespace(free=10))
    with transfer.place(str(tmp_path)) as folder, pytest.raises(ServiceError, match="do not fit"):
        transfer.write([("a", torch.ones(3))], folder, torch.float32)


@contextmanager
def misbehaving(answer):
    """A server that gives each connection to `answer`."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve():
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection):
        with connection:
            try:
                connection.recv(2**16)
                answer(connection, ended)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(1)
                while connection.recv(2**16):  # closed with a request half read, the connection would be reset
                    pass
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.close()


def head(length, status="200 OK"):
    """Each connection has one answer: a client that asked again on it would race with its end."""
    fields = f"Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode()


def never(connection, ended):
    ended.wait(30)


def drop_by_drop(connection, ended):
    connection.sendall(head(10**6))
    while not ended.wait(0.05):
        connection.sendall(b" ")


def dies(connection, ended):
    connection.sendall(head(1000) + b'{"protocol":')


def says(text, status="200 OK"):
    return lambda connection, ended: connection.sendall(head(len(text), status) + text.encode())


MISBEHAVIOUR = {
    "answers never": (never, "did not answer `/health` within"),
    "answers drop by drop": (drop_by_drop, "did not answer `/health` within"),
    "dies": (dies, "broke off its answer"),
    "hangs up": (lambda connection, ended: None, "broke off its answer"),
    "is out of order": (says('{"error": "no memory"}', "500 Internal Server Error"), r"status 500\): no memory"),
    "is something else": (says("<html>", "404 Not Found"), "no JSON object"),
    "says a list": (says("[]"), "no JSON object"),
    "is of another time": (says('{"protocol": 99}'), "speaks version 99"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_a_server_in_trouble_is_one_sentence(name, policy):
    answer, sentence = MISBEHAVIOUR[name]
    with misbehaving(answer) as url:
        began = time.monotonic()
        with pytest.raises(ServiceError, match=sentence) as caught:
            sampler_of(url, deadline=SOON).sync(policy)
        assert url in str(caught.value)
        assert time.monotonic() - began < 20 * SOON, "it hung"


def test_a_server_that_is_not_there(policy):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ServiceError, match=r"is not there .* Is `warmrl vllm-serve` running there\?"):
        sampler_of(url).sync(policy)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"drawn": []}, "gave 0 answers to `/sample` for 1 prompts"),
        ({}, "gave no answers"),
        ({"drawn": [[{"tokens": [1]}]]}, "cannot be read"),
        ({"drawn": [[{"tokens": ["x"], "logprobs": []}]]}, "cannot be read"),
        ({"missing": ["gone"]}, "asks again"),
    ],
)
def test_wrong_answers(answer, sentence, policy):
    with misbehaving(says(json.dumps(answer))) as url:
        sampler = sampler_of("http://127.0.0.1:1")
        sampler.backend.mine = Asker(Client(url, SOON))
        sampler.policy = policy
        with pytest.raises(ServiceError, match=sentence):
            sampler.sample(requests(picture("a", 10)))


@pytest.mark.parametrize("url", ["foo", "https://127.0.0.1:8600", "http://10.1.2.3:8600", "http://example.com"])
def test_servers_are_on_this_machine(url):
    with pytest.raises(ValueError, match="weights go to servers through this machine"):
        VLLMConfig(urls=[url])
    assert VLLMConfig(urls=["http://localhost:8600/"]).urls == ["http://localhost:8600"]


def test_a_sync_that_breaks_off_leaves_no_half_loaded_engine(policy, monkeypatch):
    """The next one starts a new engine: weights go into none that took a part of others."""
    with serving() as server:
        sampler = sampler_of(server.url)
        sampler.sync(policy)
        first = server.service.engine
        read = transfer.read
        monkeypatch.setattr(transfer, "read", lambda files: read([*files, {"path": "/nowhere", "checksum": 0}]))
        with pytest.raises(ServiceError):
            sampler_of(server.url).sync(policy)
        assert server.service.engine is None
        monkeypatch.setattr(transfer, "read", read)
        sampler_of(server.url).sync(policy)
        assert server.service.engine is not first


def test_seeds_fit_vllms_integers(monkeypatch):
    """vLLM on a GPU keeps them in int64."""
    fake = SimpleNamespace(SamplingParams=lambda **settings: SimpleNamespace(**settings))
    monkeypatch.setitem(sys.modules, "vllm", fake)
    ask = Ask(Prompt((1,), (1,)), (2**64 - 1,), 4, 1.0, 1.0)
    assert 0 <= sampling(ask, 2**64 - 1, Rules((2,), ())).seed < 2**63
