"""Texts of one writer for many requests, each asked for once: what was written is found again by what it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from warmrl.api import Choice, Problem
from warmrl.engine.api import Cache, Stage, identity, semantic

CUT = "cut off"
# Sampling blocks that a server is asked for at once, so that it seldom waits for the last of them.
AT_ONCE = 8


class Failed(str):
    """Why there is no text."""


def written(stage: Stage, step: str, choice: Choice, requests: Sequence[Problem], **sampling: Any) -> list[str]:
    """A text for each request of a step, or a `Failed`; the writer's memory is given back.

    A teacher that keeps its replies is asked for all of them again after a kill. What others write is kept beside the
    store, a sampling block at a time, under the request, the settings that matter of teacher, sampler and model, and
    the seed.
    """
    teacher = stage.teacher(choice, plain=True)
    cache = Cache(None if teacher.keeps else stage.folder.parents[1] / "written")
    shared = {
        "teacher": semantic(choice, stage.registry),
        "sampler": semantic(stage.sampling.choice, stage.registry),
        "model": semantic(stage.model, stage.registry, skip=frozenset({"path", "revision"})),
        "seed": [stage.seed, stage.name],
        "sampling": sampling,
    }
    out: list[str] = []
    stage.work.settle(stage.processes)
    size = stage.sampling.block_size * stage.processes.world * (AT_ONCE if teacher.keeps else 1)
    for start in range(0, len(requests), size):
        block = requests[start : start + size]
        keys = [{**shared, "request": one.id, "prompt": identity(one.messages)} for one in block]
        taken = {**shared, "work": keys}
        found: list[Any] = stage.processes.agree([cache.read(key) for key in keys])
        if None not in found:
            stage.work.keep(stage.work.read(cache.read(taken)))
        else:
            drawn = teacher.attempt(block, **sampling)
            found = [one if isinstance(one, str) else [one.text, one.finish] for one in drawn]
            spent = stage.work.take(stage.processes)
            stage.work.keep(spent)
            if stage.processes.first:
                cache.write(taken, spent.columns())
            for key, one in zip(keys, found, strict=True):
                if stage.processes.first and not isinstance(one, str):
                    cache.write(key, one)
        out += [Failed(one) if isinstance(one, str) else whole(*one) for one in found]
        stage.stop_if_asked(f"{start + len(block)} of {len(requests)} texts of the step `{step}` there")
    stage.findings += [f"`{stage.name}`, {step}: {one}" for one in teacher.spent()]
    teacher.release()
    return out


def whole(text: str, finish: str) -> str:
    """The text, if it came to its end."""
    return text if finish == "stop" else Failed(CUT)
