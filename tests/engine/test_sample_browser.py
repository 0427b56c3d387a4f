"""The sample browser's data: what is counted, what is shown, tokens and their shades, and files that are whole."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from planted_study import TOKENIZER, Planted
from tokenizers import Tokenizer

from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Image, Message, Problem, Text
from warmrl.engine import sample_browser
from warmrl.engine.sample_browser import Chunks, counts, dumped, shortened, swap, write_browser
from warmrl.engine.shown_problems import data_uri, opening
from warmrl.engine.token_pieces import Kept, Pieces, centinats, fitted, pieces_of, whole

HOSTILE = "</script><script>alert(1)</script><!--\u2028\ud800"


def verdict(arm: str | None, seed: int | None, point: str, number: int, index: int) -> tuple[str, str]:
    if point == "base":
        return "wrong", "stop"
    if arm == "sft" and point == "end":
        return ("no answer", "length") if index in (-1, 0) else ("right", "stop")
    return ("right" if index < number else "wrong"), "stop"


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    rows = [{"id": f"p/{n}", "question": f"how many {n} ?", "answer": HOSTILE if n == 2 else str(n)} for n in range(3)]
    return Planted(tmp_path / "study", rows, verdict)


def called(file: Path) -> Any:
    """What a file hands to the page."""
    found = re.fullmatch(r"warmrlBrowser\.(?:index|chunk)\((?:\d+,)?(.*)\);\n", file.read_text("ascii"), re.S)
    assert found
    return json.loads(found[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def test_index_and_chunks_have_what_the_runs_answered(planted: Planted) -> None:
    study = planted.write()
    shutil.rmtree(planted.folder / "none" / "seed-2")  # a run that failed, or has not begun
    assert write_browser(study, planted.folder) == {"folder": "browser", "chunks": 1, "problems": 3}
    index = called(planted.folder / "browser" / "index.js")
    columns = [tuple(one) for one in index["columns"]]
    assert columns[:2] == [(None, None, "base", "base"), ("none", 1, "entry", "warm")] and len(columns) == 9
    assert [one[:6] for one in index["problems"]] == [[0, f"p/{n}", "math", 0, n, f"how many {n} ?"] for n in range(3)]
    for n, problem in enumerate(index["problems"]):
        kept = dict(zip(columns, problem[6], strict=True))
        assert kept[None, None, "base", "base"] == [0, 6, 0, 0]
        assert kept["none", 1, "entry", "warm"] == [n, 6, 0, 1]
        assert kept["sft", 2, "end", "rl"] == [5, 6, 2, 0]  # the greedy answer was cut, and one sample
        assert kept["none", 2, "end", "rl"] is None
    failed = [{"arm": "sft", "seed": 2, "folder": "sft/seed-2", "state": "failed", "error": "It ended."}]
    (planted.folder / "study.json").write_text(json.dumps({"name": "planted", "state": "failed", "cells": failed}))
    write_browser(study, planted.folder)
    for problem in called(planted.folder / "browser" / "index.js")["problems"]:
        kept = dict(zip(columns, problem[6], strict=True))
        assert kept["sft", 2, "end", "rl"] is None and kept["sft", 1, "end", "rl"], "as in the report's numbers"
    (planted.folder / "study.json").unlink()
    write_browser(study, planted.folder)
    chunk = called(planted.folder / "browser" / "chunk-000.js")
    assert [one["prompt"] for one in chunk["problems"]] == [[["user", [f"how many {n} ?"]]] for n in range(3)]
    assert chunk["problems"][2]["gold"] == HOSTILE
    base, cut = (
        chunk["problems"][1]["answers"][0],
        chunk["problems"][1]["answers"][columns.index(("sft", 1, "end", "rl"))],
    )
    assert [one["in"] for one in base] == [["greedy", 0, 1, 2, 3]]  # alike to the token, said once; 4 and 5 are counted
    assert [(one["in"], one["verdict"], one["cut"]) for one in cut] == [
        (["greedy", 0], "no answer", 1),
        ([1, 2, 3], "right", 0),
    ]
    assert "".join(base[0]["text"]) == "<answer> 1 + 5 </answer>" and base[0]["text"][-1] == ""
    assert base[0]["entropy"] == list(range(len(base[0]["text"])))
    assert cut[0]["text"][-1] == " </answer>" and cut[0]["left"] == 0


def test_the_same_runs_give_the_same_bytes_without_torch(planted: Planted) -> None:
    study = planted.write()
    write_browser(study, planted.folder)
    before = contents(planted.folder / "browser")
    code = (
        "import sys; from pathlib import Path; from warmrl.engine.study_file import read\n"
        "from warmrl.engine.sample_browser import write_browser\n"
        "write_browser(read(Path(sys.argv[1]) / 'study.toml'), Path(sys.argv[1]))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(planted.folder)], check=True)
    assert contents(planted.folder / "browser") == before


def test_an_interrupted_write_leaves_the_old_browser_whole(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    study = planted.write()
    write_browser(study, planted.folder)
    before = contents(planted.folder / "browser")
    names = {one.name for one in planted.folder.iterdir()}
    (planted.folder / ".tmp-browser-1").mkdir()  # of a writer that was killed

    def full(file: Path, function: str, arguments: str) -> None:
        if function == "index":
            raise KeyboardInterrupt
        file.write_text("half")

    monkeypatch.setattr(sample_browser, "write_call", full)
    with pytest.raises(KeyboardInterrupt):
        write_browser(study, planted.folder)
    assert contents(planted.folder / "browser") == before
    assert {one.name for one in planted.folder.iterdir()} == names


def test_what_is_gone_is_told_and_stops_nothing(planted: Planted) -> None:
    study = planted.write()
    shutil.rmtree(planted.folder / "store")
    (planted.folder / "data.jsonl").unlink()
    assert write_browser(study, planted.folder)["problems"] == 3
    problem = called(planted.folder / "browser" / "chunk-000.js")["problems"][0]
    assert problem["prompt"] == [] and problem["gold"] is None
    assert problem["answers"][0][0]["text"] == "<answer> 0 + 5 </answer>" and "entropy" not in problem["answers"][0][0]
    shutil.rmtree(planted.folder / "none")
    shutil.rmtree(planted.folder / "sft")
    assert write_browser(study, planted.folder) == {"folder": "browser", "chunks": 0, "problems": 0}


@pytest.mark.parametrize(
    ("greedy", "sampled", "expected"),
    [
        ("right", ["wrong", "wrong"], [0, 2, 0, 1]),  # the greedy answer decides
        ("wrong", ["right", "right"], [2, 2, 0, 0]),
        (None, ["right", "wrong"], [1, 2, 0, 1]),
        (None, ["right", "no answer", "timed out"], [1, 3, 0, 0]),
        ("right", [], [0, 0, 0, 1]),
        (None, [], [0, 0, 0, 0]),
    ],
)
def test_a_problem_is_solved_by_the_greedy_answer_or_half_of_the_samples(
    greedy: str | None, sampled: list[str], expected: list[int]
) -> None:
    rows = [{"kind": "sampled", "verdict": one, "finish": "stop"} for one in sampled]
    first = [] if greedy is None else [{"kind": "greedy", "verdict": greedy, "finish": "stop"}]
    assert counts([*first, *rows]) == expected


def test_pieces_are_the_text_cut_where_tokens_end() -> None:
    pieces = Pieces(Tokenizer.from_file(str(TOKENIZER)))  # spaces come from joining
    ids = pieces.tokenizer.encode("<answer> 12 </answer>", add_special_tokens=False).ids
    text = pieces.tokenizer.decode(ids, skip_special_tokens=False)
    entropies = [0.004, 0.126, 2.0, 0.3, 0.05]
    assert pieces.cut(Kept(text, [*ids, 1], entropies)) == (
        ["<answer>", " 1", "2", " </answer>", ""],
        [0, 13, 200, 30, 5],
    )
    assert pieces.cut(Kept(text + "!", [*ids, 1], entropies)) is None  # another tokenizer's
    assert pieces.cut(Kept(text, ids, entropies)) is None
    assert pieces.cut(Kept(text, ids, [float("nan")] * 4)) is None


def test_letters_of_several_tokens_are_one_piece() -> None:
    assert fitted(["a", "", "é", "", "x"], "aé") == ["a", "", "é", "", ""]
    assert fitted(["a", "b"], "abc") is None and fitted(["b"], "a") is None
    assert whole(["a", "", "é", "", ""], [1, 9, 2, 3, 4]) == (["a", "é", "", ""], [1, 9, 3, 4])
    assert [centinats(one) for one in (0.0, -1e-7, 0.0149, 1.236, 11.931)] == [0, 0, 1, 124, 1193]


def test_a_model_without_a_tokenizer_here_gives_plain_text(planted: Planted, tmp_path: Path) -> None:
    from warmrl.plugin.registry import Registry

    registry = Registry.installed()
    (tmp_path / "tokenizer.json").write_text("{}")
    assert pieces_of(str(tmp_path), None, registry) is None
    assert pieces_of("nobody/nothing-of-this-name", None, registry) is None
    assert pieces_of("pocket:base", None, registry) is not None


def test_long_answers_are_cut_and_say_so() -> None:
    letters = sample_browser.LONGEST
    assert shortened("x" * (letters + 5), None) == {"text": "x" * letters, "left": 5}
    cut = shortened("x" * (letters + 5), (["x" * letters, "xxxx", "x"], [1, 2, 3]))
    assert cut == {"text": ["x" * letters], "entropy": [1], "left": 5}


def picture(key: str, size: tuple[int, int], noise: bool = False) -> Image:
    made = Picture.effect_noise(size, 80) if noise else Picture.new("L", size, 255)
    return Image(key, lambda: made.convert("RGB"))


def broken() -> Any:
    raise OSError("gone")


def test_images_are_small_and_shared_in_a_chunk(tmp_path: Path) -> None:
    shared, gone = picture("a", (1600, 900), noise=True), Image("gone", broken)
    uri = data_uri(shared)
    assert uri and uri.startswith("data:image/webp;base64,") and uri == data_uri(shared)
    assert (data_uri(picture("b", (40, 30))) or "").startswith("data:image/png;base64,")
    parts = (shared, Text("one\n two"), gone)
    problem = Problem("p", (Message("system", (Text("be good"),)), Message("user", parts)), "7")
    assert opening(problem) == "one two"
    chunks = Chunks(tmp_path)
    assert [chunks.add(problem, ["[]"]), chunks.add(problem, ["[]"])] == [(0, 0), (0, 1)]
    chunks.close()
    chunk = called(tmp_path / "chunk-000.js")
    assert chunk["images"] == [uri]
    assert chunk["problems"][1]["prompt"] == [["system", ["be good"]], ["user", [0, "one\n two", -1]]]


def test_a_chunk_takes_no_more_than_its_bytes(tmp_path: Path) -> None:
    chunks = Chunks(tmp_path)
    half = dumped(["x" * (sample_browser.CHUNK // 2)])
    assert [chunks.add(None, [half]) for _ in range(3)] == [(0, 0), (1, 0), (2, 0)]
    many = [chunks.add(None, ["[]"]) for _ in range(sample_browser.PROBLEMS)]
    assert many[0] == (2, 1) and many[-1] == (3, 0)


def test_text_can_close_no_script() -> None:
    text = dumped([HOSTILE, "a < b"])
    assert json.loads(text) == [HOSTILE, "a < b"]
    assert text.isascii() and "</" not in text and "<!" not in text


def test_only_a_browser_is_replaced(tmp_path: Path) -> None:
    """A folder of another kind, a cell's say, stays."""
    run = tmp_path / "browser" / "seed-1" / "run.json"
    run.parent.mkdir(parents=True)
    run.write_text("{}")
    (aside := tmp_path / "aside").mkdir()
    (aside / "index.js").write_text("1")
    with pytest.raises(UsageError, match="no sample browser"):
        swap(aside, tmp_path / "browser")
    assert run.read_text() == "{}"
    run.parents[1].rename(tmp_path / "elsewhere")
    for _ in range(2):
        swap(aside, tmp_path / "browser")
        (aside := tmp_path / "again").mkdir(exist_ok=True)
        (aside / "index.js").write_text("2")
    assert (tmp_path / "browser" / "index.js").read_text() == "2"
