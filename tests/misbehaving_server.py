"""A server on loopback that answers as OpenAI's chat completions and vLLM's endpoints do, or badly on purpose."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VOCAB = 48
# The pocket's image token, and what its processor makes of it.
IMAGE, EXPANDED = 3, [4, 5, *[3] * 16, 4]


def logprobs(place: int, vocabulary: int = VOCAB) -> list[float]:
    """A distribution for each place of a prompt."""
    logits = [3 * math.sin(7 * place + 3 * token) for token in range(vocabulary)]
    total = math.log(math.fsum(math.exp(one) for one in logits))
    return [one - total for one in logits]


class Server(ThreadingHTTPServer):
    """`faults` are used up by the model's requests, one each, then all is well. `requests` are what came.

    `plan` chooses a request's fault by its body and how often it came. `answered` are the bodies that got a good reply,
    `repeated` those that came again after it. After `left` good replies it falls silent, and hangs up when `awake`.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.lock = threading.Lock()
        self.faults: list[str] = []
        self.always: str | None = None
        self.requests: list[tuple[str, Any, dict[str, str]]] = []
        self.answer: Callable[[Any], str] = lambda body: f"<answer>{body['seed'] % 10}</answer>"
        self.tokens: Callable[[str], list[int]] | None = None
        self.vocabulary = VOCAB
        self.expanded = EXPANDED
        self.active = self.peak = 0
        self.gate: threading.Barrier | None = None
        self.released = threading.Event()
        self.plan: Callable[[Any, int], str] | None = None
        self.came: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.repeated: list[str] = []
        self.left: int | None = None
        self.silent = 0
        self.awake = threading.Event()

    def fault(self, body: Any) -> str:
        """What will be done to a request of the model; it is written down."""
        name = json.dumps(body, sort_keys=True)
        with self.lock:
            self.active += 1
            self.peak = max(self.peak, self.active)
            if name in self.answered:
                self.repeated.append(name)
            found = self.plan(body, self.came[name]) if self.plan else ""
            found = self.always or (self.faults.pop(0) if self.faults else found)
            self.came[name] += 1
            if found or self.left is None:
                pass
            elif self.left == 0:
                self.silent += 1
                return "silent"
            else:
                self.left -= 1
            if not found:
                self.answered.add(name)
        return found

    def asked(self) -> list[Any]:
        """Bodies of the requests that the model had to answer."""
        return [body for path, body, _ in list(self.requests) if path.endswith(("/completions", "/generate"))]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, None, dict(self.headers)))
        self.reply(200, {"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.requests.append((self.path, body, dict(self.headers)))
        if self.path == "/tokenize":
            self.reply(200, {"tokens": server.tokens(body["prompt"])}) if server.tokens else self.reply(404, {})
            return
        fault = server.fault(body)
        if server.gate:
            server.gate.wait()
        kinds = {"/chat/completions": self.chat, "/pooling": self.pool}
        make = next((one for end, one in kinds.items() if self.path.endswith(end)), self.generate)
        made = make(body, fault)
        with server.lock:
            server.active -= 1  # before the reply: who has it may send the next at once
        self.misbehave(fault, made)

    def misbehave(self, fault: str, made: Any) -> None:
        """Send the reply, or what the fault makes of it."""
        if fault.isdigit():
            self.reply(int(fault), {"error": f"no, {self.headers.get('Authorization')}"})
        elif fault == "wait 7":
            self.reply(429, {}, {"Retry-After": "7"})
        elif fault == "late":
            self.server.released.wait(30)
        elif fault == "hang up":
            self.close_connection = True
        elif fault == "silent":
            self.server.awake.wait(60)
            self.close_connection = True
        elif fault == "truncated":
            self.reply(200, made, cut=20, promised=True)
        elif fault == "half":
            self.reply(200, made, cut=20)
        elif fault == "other JSON":
            self.reply(200, ["hello"])
        else:
            self.reply(200, made)

    def chat(self, body: Any, fault: str) -> Any:
        """A chat completion."""
        finish = "length" if fault == "cut off" else "stop"
        said = {"role": "assistant", "content": self.server.answer(body), "reasoning_content": "hm"}
        choice = {"message": said, "finish_reason": finish}
        usage = {"prompt_tokens": 30, "completion_tokens": 20}
        return {"choices": [choice] * (2 if fault == "two choices" else 1), "usage": usage}

    def pool(self, body: Any, fault: str) -> Any:
        """vLLM's reply of a reward model: the length of the answer."""
        rate = math.nan if fault == "not a number" else float(len(body["messages"][-1]["content"]))
        found = {"no number": [], "three labels": [rate] * 3}.get(fault, [rate])
        return {"object": "list", "data": [{"index": 0, "object": "pooling", "data": found}]}

    def generate(self, body: Any, fault: str) -> Any:
        """vLLM's reply to token ids: what it read, and log-probabilities of it."""
        images = iter(body["content_parts"] or ())
        read: list[int] = []
        for token in body["token_ids"]:
            read += self.server.expanded if token == IMAGE and next(images, None) else [token]
        count, rows = body["sampling_params"]["prompt_logprobs"], [None]
        for place, token in enumerate(read[1:], 1):
            logs = logprobs(place, self.server.vocabulary)
            best = sorted(range(len(logs)), key=lambda one: -logs[one])[:count]
            rows.append({str(one): {"logprob": logs[one], "rank": 1} for one in {*best, token}})
        if fault == "not a number":
            rows[-1][str(read[-1])]["logprob"] = math.nan
        return {
            "prompt_token_ids": None if fault == "no tokens" else read,
            "prompt_logprobs": None if fault == "no logprobs" else rows[: -1 if fault == "too few" else None],
        }

    def reply(
        self, status: int, value: Any, headers: dict[str, str] | None = None, cut: int = 0, promised: bool = False
    ) -> None:
        """Send JSON, its last `cut` bytes missing; with `promised` the header still speaks of them."""
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data) - (0 if promised else cut)))
        self.end_headers()
        self.wfile.write(data[: len(data) - cut])
        self.close_connection = self.close_connection or promised


@contextmanager
def serving() -> Iterator[Server]:
    """A server, in a thread of its own."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
