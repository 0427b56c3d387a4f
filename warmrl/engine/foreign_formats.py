"""What a row of another tool's output says: the problem it answers, its completions, how they were drawn. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.engine.foreign_rows import Row
from warmrl.engine.storage import writable

OWN = (
    "problem", "completion", "index", "suite", "revision", "prompt", "sampling", "finish", "tokens", "logprobs",
    "entropies", "surprisal", "entropy",
)  # fmt: skip
"""The keys of warmrl's own schema, as docs/samples.md has them."""
FINISHES = ("stop", "length", "given")
ID_KEYS = ("id", "pid", "question_id", "problem_id")
"""Keys by which lmms-eval's documents and results name a problem, in the order they are tried."""


@dataclass(frozen=True)
class Given:
    """One completion as its row gives it, before it is known which problem of the suite is meant.

    `name` is the problem's id as the tool writes it, or its `number`; `counts` says that the tool numbers documents
    from 0 whatever their ids are. `names` are other ids in the row by key, `question` is the question's text.
    """

    row: Row
    completion: str
    name: str | None = None
    number: int | None = None
    counts: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    question: str | None = None
    index: int | None = None
    finish: str = "given"
    tokens: int | None = None
    logprobs: list[float] | None = None
    entropies: list[float] | None = None
    surprisal: float | None = None
    entropy: float | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    suite: str | None = None
    revision: str | None = None
    prompt: str | None = None


Reader = Callable[[Row], Iterator[Given]]


def recognise(row: Row) -> tuple[str, Reader]:
    """The format that the first row of a file is in, and what reads it. Raises `UsageError`."""
    keys = row.values.keys()
    if "problem" in keys or "completion" in keys:
        return "warmrl", own
    if "custom_id" in keys:
        return "vLLM batch", batch
    if "outputs" in keys and keys & {"request_id", "prompt"}:
        return "vLLM outputs", outputs
    if "doc_id" in keys and keys & {"resps", "filtered_resps"}:
        return "lmms-eval", logged
    if {"index", "prediction"} <= keys:
        return "VLMEvalKit", predicted
    raise UsageError(
        f"{row} has the keys {', '.join(map(repr, list(keys)[:8])) or '(none)'}, by which no known format is "
        "recognised: warmrl's own has `problem` and `completion`; vLLM's `custom_id` and `response`, or `request_id` "
        "and `outputs`; lmms-eval's `doc_id` and `resps` or `filtered_resps`; VLMEvalKit's `index` and `prediction`. "
        "Rename the keys to those of docs/samples.md."
    )


def own(row: Row) -> Iterator[Given]:
    """warmrl's own schema."""
    values = row.values
    finish = values.get("finish", "given")
    if finish not in FINISHES:
        raise UsageError(f"{row}: `finish` is {finish!r:.40}; it is one of {', '.join(FINISHES)}.")
    yield Given(
        row,
        text(row, "completion", values.get("completion")),
        name=identity(row, "problem", values.get("problem")),
        index=count(row, "index", values.get("index")),
        finish=finish,
        tokens=count(row, "tokens", values.get("tokens")),
        logprobs=numbers(row, "logprobs", values.get("logprobs"), high=0.0),
        entropies=numbers(row, "entropies", values.get("entropies"), low=0.0),
        surprisal=number(row, "surprisal", values.get("surprisal")),
        entropy=number(row, "entropy", values.get("entropy")),
        sampling=table(row, "sampling", values.get("sampling") or {}),
        suite=word(values.get("suite")),
        revision=word(values.get("revision")),
        prompt=word(values.get("prompt")),
    )


def batch(row: Row) -> Iterator[Given]:
    """`vllm run-batch`, OpenAI's batch output: `custom_id` is the problem's id, or `ID#INDEX`."""
    name = identity(row, "custom_id", row.values.get("custom_id"))
    response = row.values.get("response") or {}
    body = response.get("body") or (response if "choices" in response else {}) if isinstance(response, dict) else {}
    choices = body.get("choices") if isinstance(body, dict) else None
    if row.values.get("error") or not isinstance(choices, list) or not choices:
        why = row.values.get("error") or "no `response.body.choices`"
        raise UsageError(f"{row}: the request `{name}` failed and has no completion ({why!s:.200}). Run it again.")
    usage = body.get("usage")
    total = usage.get("completion_tokens") if isinstance(usage, dict) and len(choices) == 1 else None
    problem, mark, asked = name.rpartition("#")
    numbered = bool(mark) and asked.isdecimal()
    for place, choice in enumerate(choices):
        choice = table(row, "choices", choice)
        message = choice.get("message")
        said = message.get("content") if isinstance(message, dict) else choice.get("text")
        logprobs = chosen(row, choice.get("logprobs"))
        yield Given(
            row,
            text(row, "response.body.choices[].message.content", said),
            name=problem if numbered else name,
            index=int(asked) + place if numbered else count(row, "index", choice.get("index", place)),
            finish=finish_of(row, choice.get("finish_reason")),
            tokens=count(row, "completion_tokens", total) or (None if logprobs is None else len(logprobs)),
            logprobs=logprobs,
        )


def chosen(row: Row, value: Any) -> list[float] | None:
    """The log-probabilities of the tokens of a choice, as chats (`content`) or as plain completions have them."""
    if not isinstance(value, dict):
        return None
    content = value.get("content")
    if isinstance(content, list):
        found: Any = [one.get("logprob") if isinstance(one, dict) else one for one in content]
    else:
        found = value.get("token_logprobs")
    return numbers(row, "logprobs", found, high=0.0)


def outputs(row: Row) -> Iterator[Given]:
    """vLLM's `RequestOutput` as JSON. Its requests are numbered from 0 unless their maker named them."""
    values = row.values
    name = identity(row, "request_id", values.get("request_id", row.number - 1))
    several = values.get("outputs")
    if not isinstance(several, list) or not several:
        raise UsageError(f"{row}: `outputs` of the request `{name}` holds no completion. Run it again.")
    for place, one in enumerate(several):
        one = table(row, "outputs", one)
        ids = one.get("token_ids")
        total = number(row, "cumulative_logprob", one.get("cumulative_logprob"))
        yield Given(
            row,
            text(row, "outputs[].text", one.get("text")),
            name=name,
            number=int(name) if name.isdecimal() else None,
            counts=True,
            question=values["prompt"] if isinstance(values.get("prompt"), str) else None,
            index=count(row, "index", one.get("index", place)),
            finish=finish_of(row, one.get("finish_reason")),
            tokens=len(ids) if isinstance(ids, list) else None,
            logprobs=of_tokens(row, ids, one.get("logprobs")),
            surprisal=None if total is None else -total,
            sampling=table(row, "sampling_params", values.get("sampling_params") or {}),
        )


def of_tokens(row: Row, ids: Any, value: Any) -> list[float] | None:
    """The log-probability of each sampled token, from a table of the likeliest per place (keys are token ids)."""
    if not isinstance(value, list) or not isinstance(ids, list) or len(ids) != len(value):
        return None
    found = [at.get(str(token)) if isinstance(at, dict) else None for token, at in zip(ids, value, strict=True)]
    plain = [one.get("logprob") if isinstance(one, dict) else one for one in found]
    return None if any(one is None for one in plain) else numbers(row, "logprobs", plain, high=0.0)


def logged(row: Row) -> Iterator[Given]:
    """lmms-eval's `--log_samples`. `resps` are the completions; it is left out where a filter changed nothing.

    A filter's pick (`filtered_resps`) of several repeats is one of them, so that `resps` comes first.
    """
    values = row.values
    said = values.get("resps", values.get("filtered_resps"))
    while isinstance(said, list) and len(said) == 1 and isinstance(said[0], list):
        said = said[0]
    several = [said] if isinstance(said, str) else said
    if not isinstance(several, list) or not several or not all(isinstance(one, str) for one in several):
        raise UsageError(
            f"{row}: `resps` is {several!r:.80} and not text; the completions of a task that generates are texts, and "
            "a task that compares likelihoods has none to score. Run a task of the kind `generate_until`."
        )
    counts = values.get("token_counts")
    first = counts[0] if isinstance(counts, list) and counts else None
    tokens = first.get("output_tokens") if isinstance(first, dict) else None
    for place, one in enumerate(several):
        yield Given(
            row,
            text(row, "resps", one),
            number=count(row, "doc_id", values.get("doc_id")),
            counts=True,
            names=names_in(values),
            question=values["input"] if isinstance(values.get("input"), str) else None,
            index=place,
            tokens=count(row, "token_counts", tokens) if len(several) == 1 else None,
        )


def names_in(values: Mapping[str, Any]) -> dict[str, str]:
    """Ids of the problem in a row of lmms-eval: in its `doc` (older versions) or what its metrics were given."""
    inner = [("", values), *((key, value) for key, value in values.items() if isinstance(value, dict))]
    return {
        f"{key}.{name}".lstrip("."): str(value[name])
        for key, value in inner
        for name in ID_KEYS
        if isinstance(value.get(name), str | int)
    }


def predicted(row: Row) -> Iterator[Given]:
    """VLMEvalKit's predictions, a row per problem. An empty cell is an empty answer."""
    values = row.values
    name = identity(row, "index", values.get("index")).removesuffix(".0")
    said = values.get("prediction", values)
    question = values.get("question")
    yield Given(
        row,
        text(row, "prediction", "" if said is None else said if isinstance(said, str | dict) else str(said)),
        name=name,
        number=int(name) if name.isdecimal() else None,
        question=question if isinstance(question, str) else None,
        index=0,
    )


def text(row: Row, key: str, value: Any) -> str:
    """A completion, as it can be written."""
    if not isinstance(value, str):
        what = "there is none" if value is None else f"`{key}` is {value!r:.60}"
        raise UsageError(f"{row}: no completion: {what}; it is text (`{key}`). Run the problem again, or drop the row.")
    return writable(value)


def word(value: Any) -> str | None:
    """A name or hash as text, or nothing."""
    return None if value is None else str(value)


def identity(row: Row, key: str, value: Any) -> str:
    """A problem's id: text or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise UsageError(f"{row}: `{key}` is {value!r:.60}; it names the problem, as text or a number. Mend the row.")
    return str(value)


MOST = 2**53
"""No index, number of tokens or sum over them is as large."""


def count(row: Row, key: str, value: Any) -> int | None:
    """A whole number from 0 on, or nothing."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST:
        raise UsageError(f"{row}: `{key}` is {value!r:.60}; it is a whole number from 0 on. Mend the row.")
    return value


def number(row: Row, key: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float | None:
    """A finite number between `low` and `high`, or nothing."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST:
        raise UsageError(f"{row}: `{key}` is {value!r:.60}; it is a finite number, in nats. Mend the row.")
    if not low <= value <= high:
        bound = f"at least {low:g}" if value < low else f"at most {high:g}"
        raise UsageError(f"{row}: `{key}` has {value!r}; it is {bound}, in nats (natural logarithms). Mend the row.")
    return float(value)


def numbers(row: Row, key: str, value: Any, low: float = -math.inf, high: float = math.inf) -> list[float] | None:
    """A list of finite numbers, one for each token, or nothing."""
    if value is None:
        return None
    found = [number(row, key, one, low, high) for one in value] if isinstance(value, list) else [None]
    if any(one is None for one in found):
        raise UsageError(f"{row}: `{key}` is {value!r:.60}; it is a list of numbers, one for each token. Mend the row.")
    return [one for one in found if one is not None]


def table(row: Row, key: str, value: Any) -> dict[str, Any]:
    """An object of named values."""
    if not isinstance(value, dict):
        raise UsageError(f"{row}: `{key}` is {value!r:.60}; it is an object of named values. Mend the row.")
    return value


def finish_of(row: Row, reason: Any) -> str:
    """Why a completion of vLLM ended. Raises `UsageError` for one that was broken off: it is no answer."""
    if reason in ("abort", "error"):
        raise UsageError(f"{row}: its completion was broken off (`finish_reason` is `{reason}`). Run it again.")
    return reason if reason in ("stop", "length") else "given"
