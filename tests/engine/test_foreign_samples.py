"""Samples of other tools: each format's example of docs/samples.md is read, and what is doubtful is refused or said."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Message, Problem, Text
from warmrl.engine.foreign_samples import ForeignSamples, Suite, read

ROOT = Path(__file__).parent.parent.parent
ASKED = ["What is the height of the red bar", "How many sides has this shape", "Which line is longest of all"]


def suite(*ids: str, name: str = "mathvista", **more: Any) -> Suite:
    ids = ids or ("mathvista:1", "mathvista:2", "mathvista:3")
    problems = [
        Problem(one, (Message("user", (Text(ASKED[i] if i < 3 else f"Question {one}?"),)),), "1")
        for i, one in enumerate(ids)
    ]
    return Suite(name, problems, **more)


def written(tmp_path: Path, rows: Any, name: str = "samples.jsonl") -> Path:
    file = tmp_path / name
    if isinstance(rows, list) and name.endswith(".jsonl"):
        rows = "".join(json.dumps(row) + "\n" for row in rows)
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows, indent=1))
    return file


def own(n: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [{"problem": f"mathvista:{i}", "completion": f"c{i}{j}"} | more for i in (1, 2, 3) for j in range(n)]


def read_rows(tmp_path: Path, rows: Any, of: Suite | None = None, **more: Any) -> ForeignSamples:
    return read(written(tmp_path, rows), of or suite(), **more)


def refused(tmp_path: Path, rows: Any, *words: str, of: Suite | None = None, **more: Any) -> None:
    file = rows if isinstance(rows, Path) else written(tmp_path, rows)
    with pytest.raises(UsageError) as caught:
        read(file, of or suite(), **more)
    for word in (str(file), *words):
        assert word in str(caught.value)


def triples(found: ForeignSamples) -> list[tuple[str, int, str]]:
    return [(one.problem, one.index, one.completion) for one in found.samples]


def test_the_own_schema(tmp_path: Path) -> None:
    settings = {"temperature": 0.7, "top_p": 0.9}
    rows = [
        row | {"index": i % 2, "sampling": settings | {"seed": i}, "finish": "length", "tokens": 2}
        | {"logprobs": [-0.5, -1.0], "entropies": [0.25, 0.5], "suite": "mathvista", "revision": "r1", "mine": 1}
        for i, row in enumerate(own(2))
    ]  # fmt: skip
    found = read_rows(tmp_path, rows[::-1], suite(revision="r1"))
    assert found.format == "warmrl"
    assert found.kind == "sampled"
    assert found.sampling == settings
    assert triples(found)[:3] == [("mathvista:1", 0, "c10"), ("mathvista:1", 1, "c11"), ("mathvista:2", 0, "c20")]
    first = found.samples[0]
    assert (first.finish, first.tokens, first.surprisal, first.entropy) == ("length", 2, 1.5, 0.75)
    assert first.sampling["seed"] == 0
    assert [one for one in found.findings if "`mine`" in one]


def test_an_index_is_counted_where_there_is_none(tmp_path: Path) -> None:
    found = read_rows(tmp_path, own(2), sampling={"temperature": 1.0})
    assert [one.index for one in found.samples] == [0, 1, 0, 1, 0, 1]
    assert found.samples[0].sampling == {"temperature": 1.0}


def test_batches_of_vllm(tmp_path: Path) -> None:
    def answer(name: str, *texts: str, **more: Any) -> dict[str, Any]:
        choices = [
            {"index": i, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"} | more
            for i, t in enumerate(texts)
        ]
        body = {"choices": choices, "usage": {"completion_tokens": 3 * len(texts)}}
        return {"id": "b", "custom_id": name, "response": {"status_code": 200, "body": body}, "error": None}

    logprobs = {"content": [{"token": "a", "logprob": -0.5}] * 3}
    rows = [answer("mathvista:2", "x", "y"), answer("1#0", "p", logprobs=logprobs), answer("1#1", "q")]
    found = read_rows(tmp_path, rows)
    assert triples(found) == [
        ("mathvista:1", 0, "p"), ("mathvista:1", 1, "q"), ("mathvista:2", 0, "x"), ("mathvista:2", 1, "y"),
    ]  # fmt: skip
    assert (found.samples[0].tokens, found.samples[0].surprisal) == (3, 1.5)
    assert found.samples[2].tokens is None
    assert any("1 of 3 problems have no sample: `mathvista:3`" in one for one in found.findings)
    failed = {"custom_id": "3", "response": None, "error": {"message": "out of memory"}}
    refused(tmp_path, [*rows, failed], "row 4", "out of memory")


def test_outputs_of_vllm(tmp_path: Path) -> None:
    def output(name: str, place: int, reason: str = "length") -> dict[str, Any]:
        out = {"index": 0, "text": f"t{name}", "token_ids": [5, 7], "cumulative_logprob": -1.5, "finish_reason": reason}
        out["logprobs"] = [{"5": {"logprob": -0.5}, "9": {"logprob": -0.1}}, {"7": {"logprob": -1.0}}]
        return {"request_id": name, "prompt": f"<|im_start|>user {ASKED[place]}?", "outputs": [out]}

    rows = [output(str(i), i) for i in (2, 0, 1)]
    found = read_rows(tmp_path, rows)
    # Numbers from 0 are positions, even where one is also an id: the suite's ids are 1 to 3.
    assert triples(found) == [("mathvista:1", 0, "t0"), ("mathvista:2", 0, "t1"), ("mathvista:3", 0, "t2")]
    assert any("by position" in one for one in found.findings)
    assert found.samples[0].logprobs == [-0.5, -1.0]
    assert (found.samples[0].tokens, found.samples[0].finish, found.samples[0].surprisal) == (2, "length", 1.5)
    assert triples(read_rows(tmp_path, [output(f"mathvista:{i + 1}", i) for i in range(3)])) == [
        (f"mathvista:{i}", 0, f"tmathvista:{i}") for i in (1, 2, 3)
    ]
    refused(tmp_path, [output("0", 0, "abort")], "row 1", "broken off")


def test_logs_of_lmms_eval(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"doc_id": 0, "target": "1", "filtered_resps": "a", "input": ASKED[0], "token_counts": [{"output_tokens": 9}]},
        {"doc_id": 1, "target": "2", "filtered_resps": "2", "resps": ["two is 2"], "input": ASKED[1]},
        {"doc_id": 2, "target": "3", "filtered_resps": "c", "resps": [["c"]], "input": ASKED[2]},
    ]
    found = read_rows(tmp_path, rows)
    assert [one.completion for one in found.samples] == ["a", "two is 2", "c"]
    assert found.samples[0].tokens == 9
    assert found.kind == "greedy"
    assert any("position" in one for one in found.findings)
    assert any("greedy" in one for one in found.findings)
    repeated = [row | {"resps": ["one", "two"]} for row in rows]
    assert [one.index for one in read_rows(tmp_path, repeated).samples] == [0, 1] * 3
    # With the document in it (older versions) ids are known, and an excerpt of the suite can be matched.
    named = [row | {"doc": {"pid": "3"}} for row in rows[2:]]
    assert triples(read_rows(tmp_path, named)) == [("mathvista:3", 0, "c")]
    scored = [row | {"gpt_eval_score": {"question_id": "3", "score": 1}} for row in rows[2:]]
    assert triples(read_rows(tmp_path, scored)) == [("mathvista:3", 0, "c")]
    refused(tmp_path, rows[:2], "`0`", "no positions either", "limit")
    refused(tmp_path, [rows[0] | {"resps": [[-1.5, True]]}], "row 1", "likelihoods")


@pytest.mark.parametrize("suffix", ["tsv", "csv", "json", "jsonl", "xlsx"])
def test_predictions_of_vlmevalkit(suffix: str, tmp_path: Path) -> None:
    texts = ["a\nb", 'say "x", y', ""]
    rows = [{"index": i + 1, "question": ASKED[i], "answer": "1", "prediction": texts[i]} for i in range(3)]
    file = tmp_path / f"model_MathVista.{suffix}"
    if suffix == "xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for line in [list(rows[0]), *(list(row.values()) for row in rows)]:
            book.active.append(line)
        book.save(file)
    elif suffix in ("json", "jsonl"):
        file = written(tmp_path, rows, file.name)
    else:
        import csv

        with file.open("w", newline="") as stream:
            table = csv.writer(stream, delimiter="\t" if suffix == "tsv" else ",", quoting=csv.QUOTE_ALL)
            table.writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    found = read(file, suite())
    assert found.format == "VLMEvalKit"
    assert triples(found) == [(f"mathvista:{i + 1}", 0, texts[i]) for i in range(3)]
    assert any("1 completions are empty" in one for one in found.findings)


def test_numbers_from_zero_are_positions_and_questions_are_compared(tmp_path: Path) -> None:
    rows = [{"index": i, "question": ASKED[i], "prediction": f"p{i}"} for i in range(3)]
    assert triples(read_rows(tmp_path, rows))[0] == ("mathvista:1", 0, "p0")
    # Two rows numbered from 0 look like the ids 1 and 2; the questions tell that they are others.
    refused(tmp_path, rows[1:], "row 1", ASKED[1], "`mathvista:1`")
    failed = [rows[0] | {"prediction": "Failed to obtain answer via API."}, *rows[1:]]
    assert any("1 predictions are VLMEvalKit's own" in one for one in read_rows(tmp_path, failed).findings)


def test_a_workbook_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    file = tmp_path / "p.xlsx"
    file.write_bytes(b"PK\x03\x04 whatever")
    refused(tmp_path, file, "openpyxl", "PRED_FORMAT=tsv")


@pytest.mark.parametrize("name", ["p.pkl", "p.jsonl"])
def test_a_pickle_is_never_opened(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(pickle.dumps({"1": "a"}))
    refused(tmp_path, file, "runs code", "PRED_FORMAT=tsv", "to_json")


HOT, COLD = {"temperature": 1.0}, {"temperature": 0}
REFUSED: dict[str, tuple[Any, list[str]]] = {
    "unknown ids": (
        [*own(), *({"problem": f"x:{i}", "completion": ""} for i in range(7))],
        ["7 ids", "`x:0`", "`x:4` and 2 more", "row 4", "`mathvista:1`"],
    ),
    "the same sample twice": (own(2, index=0), ["3 samples", "mathvista:1 (sample 0) in rows 1 and 2", "`index`"]),
    "another revision": (own(revision="r0"), ["row 1", "`r0`", "`r1`"]),
    "another suite": (own(suite="mmmu"), ["row 1", "`mmmu`", "`mathvista`"]),
    "another prompt": (own(prompt="abc"), ["row 1", "`abc`", "`def`"]),
    "greedy repeated": (own(2, sampling=COLD), ["temperature 0", "3 problems", "`mathvista:1`", "--sampling"]),
    "mixed settings": (
        [*own(sampling=HOT), own(index=1, sampling=HOT | {"top_p": 0.9})[0]],
        ["rows 1 and 4", "`top_p` unset and 0.9"],
    ),
    "no completion": ([{"problem": "mathvista:1"}], ["row 1", "`completion`"]),
    "a completion that is none": ([{"problem": "mathvista:1", "completion": 3}], ["row 1", "`completion` is 3"]),
    "not JSON": ('{"problem": "mathvista:1", "completion": "a"}\n{"prob', ["row 2 is not JSON"]),
    "too deep": ('{"problem": ' + "[" * 100_000, ["row 1 is not JSON"]),
    "a list cut off": ('[{"index": 1', ["is not JSON", "cut off"]),
    "a row that is no object": ('[{"index": 1, "prediction": ""}, 3]', ["row 2 is a int"]),
    "neither": ("hello\nworld\n", ["row 1", "docs/samples.md"]),
    "unknown keys": ([{"answer": "3", "who": 1}], ["row 1", "'answer', 'who'", "custom_id"]),
    "cells missing": ("index,prediction\n1\n", ["row 1", "1 cells", "header 2"]),
    "empty": ("", ["empty"]),
    "a header alone": ("index\tprediction\n", ["no row"]),
    "a bad index": (own(index=-1), ["row 1", "`index` is -1"]),
    "a bad finish": (own(finish="done"), ["row 1", "`finish` is 'done'", "stop, length, given"]),
    "a temperature below zero": (own(sampling={"temperature": -1}), ["`temperature` is -1"]),
    "a log-probability above 0": (own(logprobs=[0.5]), ["row 1", "`logprobs` has 0.5", "at most 0"]),
    "a log-probability that is none": (own(logprobs=[float("nan")]), ["row 1", "`logprobs` is nan", "finite"]),
    "token counts that differ": (own(logprobs=[-1.0], tokens=3), ["row 1", "1 and 3 tokens"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    rows, words = REFUSED[case]
    refused(tmp_path, rows, *words, of=suite(revision="r1", prompts={"mathvista:1": "def"}))


def test_a_folder_or_no_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, tmp_path, "cannot be read")
    refused(tmp_path, tmp_path / "none", "cannot be read")


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    text = '{"problem": "mathvista:1", "completion": "a \\ud800 \\ud83d\\ude00 é"}\n'
    assert read_rows(tmp_path, text).samples[0].completion == "a \N{REPLACEMENT CHARACTER} \N{GRINNING FACE} é"


def test_ids_that_share_no_prefix_are_matched_whole(tmp_path: Path) -> None:
    of = suite("a:1", "b:1", name="mixed")
    assert triples(read_rows(tmp_path, [{"problem": "mixed:b:1", "completion": "x"}], of)) == [("b:1", 0, "x")]
    refused(tmp_path, [{"problem": "1", "completion": "x"}], "`1`", of=of)


def test_the_examples_of_the_manual_are_read(tmp_path: Path) -> None:
    """Every fenced example of docs/samples.md is a file of samples for a suite with the ids it uses."""
    text = (ROOT / "docs" / "samples.md").read_text()
    blocks = re.findall(r"<!-- samples: (.+?) -->\n```\w*\n(.*?)```", text, flags=re.DOTALL)
    formats = []
    for name, block in blocks:
        file = tmp_path / name
        file.write_text(block)
        formats.append(read(file, suite("mathvista:1", "mathvista:2")).format)
    assert formats == ["warmrl", "vLLM batch", "vLLM outputs", "lmms-eval", "VLMEvalKit"]
