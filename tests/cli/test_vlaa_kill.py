"""VLAA-Thinking's pipeline on a bad server, killed twice: each item counts once, no good reply is asked for again."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from misbehaving_server import Server, serving

from warmrl.testing.command import Command
from warmrl.testing.run import environment, write_recipe

pytestmark = pytest.mark.slow
ITEMS, CONCURRENCY = 500, 8
# What passes, and what is bad for ever: by the request.
PASSING = ("429", "500", "503", "hang up", "truncated", "half", "other JSON")
FOR_EVER = {"half": "no usable reply", "truncated": "no usable reply", "400": "refused (HTTP 400)"}


def lot(body: Any) -> int:
    """A number of a request's own, below 1000."""
    return int(hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).hexdigest(), 16) % 1000


def fault(body: Any, came: int) -> str:
    """Every tenth request fails at first, every fiftieth always."""
    number = lot(body)
    if number < 20:
        return list(FOR_EVER)[number % len(FOR_EVER)]
    return PASSING[number % len(PASSING)] if number < 120 and came == 0 else ""


def answer(body: Any) -> str:
    """What the four writers say; a request is known by its last section."""
    said = body["messages"][0]["content"]
    prompt = said if isinstance(said, str) else said[-1]["text"]
    text = prompt.rpartition("\n## ")[2].partition("\n")[2]
    if "## Question" in prompt:
        return f"<think> {'wait' if body['seed'] % 3 else 'so'} by the description {body['seed']} </think> 4"
    if "## Text" in prompt:
        return text.replace("description", "image")
    return ("No" if lot(body) % 10 == 1 else "Yes") if "## Right answer" in prompt else f"figure {body['seed']}"


def recipe(folder: Path, server: Server) -> Path:
    """The pipeline alone, on 500 figures."""
    writer = {"use": "server", "model": "m", "urls": [server.url], "concurrency": CONCURRENCY, "deadline": 4.0}
    writer |= {"retries": 2, "backoff": 0.01}
    four = dict.fromkeys(("captioner", "reasoner", "rewriter", "verifier"), writer)
    data = {"train": {"use": "pocket_geometry", "limit": ITEMS}}
    tables = {"data": data, "suite": {}, "sampler": {"use": "transformers", "block_size": 64}}
    return write_recipe(folder, stage={"pipeline": {"use": "vlaa", **four}}, **tables)


def killed_after(replies: int, server: Server, file: Path) -> None:
    """Run until the server has given so many good replies more and is silent, and all that came is kept; kill -9."""
    folder, server.left, server.silent = file.parent, replies, 0
    process = Command("run", str(file), "--out", "run", folder=folder, environment=environment(folder))
    until = time.monotonic() + 120
    while server.silent < CONCURRENCY or kept(folder) < len(server.answered):
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.1)
    process.kill()
    process.communicate()
    server.awake.set()


def kept(folder: Path) -> int:
    """Replies on the disk."""
    return len(list(folder.glob("home/teacher-cache/*/[!.]*.json")))


def test_every_item_once_and_no_good_reply_twice(tmp_path: Path) -> None:
    with serving() as server:
        server.answer, server.plan, server.faults = answer, fault, ["late"]
        file = recipe(tmp_path, server)
        for replies in (300, 900):
            server.awake.clear()
            killed_after(replies, server, file)
        server.left = None
        last = Command("run", str(file), "--out", "run", folder=tmp_path, environment=environment(tmp_path))
        _, err = last.communicate(timeout=200)
        assert last.returncode == 0, err
    assert not server.repeated
    assert kept(tmp_path) == len(server.answered)
    (entry,) = tmp_path.glob("home/store/*/done.json")
    record = json.loads(entry.read_text())
    funnel = record["funnel"]
    assert funnel[0]["taken"] == funnel[0]["kept"] == ITEMS
    for before, after in pairwise(funnel):
        assert after["taken"] == before["kept"] == after["kept"] + sum(after["dropped"].values())
    dropped = sum((Counter(one["dropped"]) for one in funnel), Counter())
    never = [json.loads(name) for name in server.came if name not in server.answered]
    assert min(dropped[why] for why in FOR_EVER.values()) > 0
    expected = Counter(FOR_EVER[fault(body, 9)] for body in never)
    verdicts = [body for body in map(json.loads, server.answered) if answer(body) == "No"]
    assert dropped == expected + Counter({"wrong answer": len(verdicts)})
    rows = [json.loads(line) for line in (entry.parent / "problems.jsonl").read_text().splitlines()]
    assert len({row["source"] for row in rows}) == len(rows) == funnel[-1]["kept"] > 350
    assert {row["extra"]["part"] for row in rows} == {"sft", "rl"}
    tokens = sum(int(one.partition(" replies: ")[2].split()[0]) for one in record["findings"] if " replies: " in one)
    assert tokens == 30 * len(server.answered)
