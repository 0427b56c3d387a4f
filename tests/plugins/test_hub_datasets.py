"""The datasets `geometry3k` and `mathvista`, from copies in the Hub's format, and what all of the Hub share."""

import json
from pathlib import Path
from typing import ClassVar

import hub_copies
import huggingface_hub
import pyarrow as pa
import pytest
from hub_copies import (
    GEOMETRY3K,
    MATHVISTA,
    geometry3k_rows,
    mathvista_rows,
    write,
    write_geometry3k,
    write_mathvista,
    write_mathvista_json,
)
from huggingface_hub.errors import LocalEntryNotFoundError
from pydantic import ValidationError
from warmrl_answers.boxed import Boxed
from warmrl_answers.config import BoxedConfig
from warmrl_datasets.config import Geometry3KConfig, MathVistaConfig
from warmrl_datasets.geometry3k import Geometry3K
from warmrl_datasets.mathvista import MathVista
from warmrl_rewards.config import MathConfig
from warmrl_rewards.math import Math

from warmrl.api import DataError, Image, Text
from warmrl.engine import recipe_file
from warmrl.engine.entries import Entries
from warmrl.engine.run_folder import resolved
from warmrl.plugin.registry import Registry
from warmrl.testing import DatasetContract


class TestGeometry3KContract(DatasetContract):
    plugin = "warmrl_datasets"
    name = "geometry3k"
    settings: ClassVar = {"path": "data"}

    def table(self, folder):
        return {"path": str(write_geometry3k(folder))}


class TestMathVistaContract(DatasetContract):
    plugin = "warmrl_datasets"
    name = "mathvista"
    settings: ClassVar = {"path": "data"}

    def table(self, folder):
        return {"path": str(write_mathvista(folder))}


@pytest.fixture(scope="module")
def math():
    found = Math(MathConfig(), Boxed(BoxedConfig()))
    yield found
    found.close()


def boxed(answer):
    return f"<think>so</think> \\boxed{{{answer}}}"


def geometry3k(folder, **settings):
    return Geometry3K(Geometry3KConfig(path=str(folder), **settings))


def mathvista(folder, **settings):
    return MathVista(MathVistaConfig(path=str(folder), **settings))


def refused(dataset):
    with pytest.raises(DataError) as raised:
        dataset().problems()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_geometry3k_rows_become_problems(tmp_path):
    write_geometry3k(tmp_path)
    problems = geometry3k(tmp_path, split="validation").problems()
    assert [one.id for one in problems] == ["validation:1", "validation:2", "validation:3", "validation:4"]
    assert [type(part) for part in problems[0].messages[0].parts] == [Image, Text]
    assert not problems[0].messages[0].parts[1].text.startswith("<image>")
    assert problems[1].gold.endswith("\\sqrt { 2 }")
    assert {one.kind for one in problems} == {"math"}
    assert len(geometry3k(tmp_path).problems()) == 12


def test_geometry3k_keeps_the_order_of_several_images(tmp_path):
    (row,) = geometry3k_rows("train", 1)
    images = [hub_copies.figure(hub_copies.random.Random(seed)) for seed in (1, 2)]
    row = row | {"problem": "Is <image> larger than <image>?", "images": images}
    write(tmp_path / "data" / "train-00000-of-00001.parquet", [row], GEOMETRY3K)
    (problem,) = geometry3k(tmp_path).problems()
    kinds = [type(part) for part in problem.messages[0].parts]
    assert kinds == [Text, Image, Text, Image, Text]
    assert len({image.key for image in problem.images}) == 2


def test_geometry3k_ids_are_the_same_in_both_revisions_and_over_shards(tmp_path):
    rows = geometry3k_rows("train", 5)
    newer = pa.schema(
        [*GEOMETRY3K, ("id", pa.int64()), ("choices", pa.list_(pa.string())), ("ground_truth", pa.string())]
    )
    more = [row | {"id": 90 + i, "choices": ["1", "2"], "ground_truth": "B"} for i, row in enumerate(rows)]
    write(tmp_path / "old" / "train-00000-of-00001.parquet", rows, GEOMETRY3K)
    write(tmp_path / "new" / "data" / "train-00000-of-00002.parquet", more[:2], newer)
    write(tmp_path / "new" / "data" / "train-00001-of-00002.parquet", more[2:], newer)
    old, new = (geometry3k(tmp_path / name).problems() for name in ("old", "new"))
    assert [one.id for one in old] == [one.id for one in new] == [f"train:{i}" for i in range(1, 6)]
    assert new[4].extra == {"id": 94, "choices": ["1", "2"], "ground_truth": "B"}


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("6 \\sqrt { 2 }", ["6\\sqrt{2}", "\\sqrt{72}"], ["6", "2", "\\sqrt{2}"]),
        ("9 \\pi", ["9\\pi"], ["9", "9\\pi^2"]),
        ("\\frac { 15 } { 2 }", ["7.5", "\\dfrac{15}{2}"], ["15", "2"]),
        ("120", ["120^\\circ", "m\\angle A = 120"], ["12", "1200"]),
        ("3.5 \\sqrt { 3 } + 2", ["2+\\frac{7\\sqrt{3}}{2}"], ["3.5", "3.5\\sqrt{3}"]),
    ],
)
def test_golds_with_roots_and_fractions_are_graded_whole(tmp_path, math, gold, right, wrong):
    """What a bare gold is taken for elsewhere: `6\\sqrt{2}` unwrapped is 6 to math-verify."""
    (row,) = geometry3k_rows("train", 1)
    write(tmp_path / "train-00000-of-00001.parquet", [row | {"answer": gold}], GEOMETRY3K)
    (problem,) = geometry3k(tmp_path).problems()
    completions = [boxed(one) for one in [gold, *right, *wrong]]
    assert math.score(problem, completions) == [1.0] * (1 + len(right)) + [0.0] * len(wrong)


def test_mathvista_prompts_and_golds(tmp_path, math):
    rows = {row["pid"]: row for row in mathvista_rows(8)}
    problems = mathvista(write_mathvista(tmp_path)).problems()
    assert [one.id for one in problems] == [f"mathvista:{pid}" for pid in rows]
    for problem, row in zip(problems, rows.values(), strict=True):
        image, text = problem.messages[0].parts
        assert isinstance(image, Image)
        assert text == Text(row["query"])
        assert problem.extra["answer"] == row["answer"]
        assert problem.extra["metadata"]["source"] in ("GeoQA+", "Geometry3K")
        choice = row["question_type"] == "multi_choice"
        assert (problem.kind, problem.gold) == (("choice", "C") if choice else ("math", row["answer"]))
        right = ["C", "(C)", "\\text{C}"] if choice else [row["answer"]]
        assert math.score(problem, [boxed(one) for one in [*right, "B", "0.1"]]) == [1.0] * len(right) + [0.0] * 2


def test_mathvista_is_graded_officially(tmp_path):
    """What a recipe's table fills in, and what that grader makes of right, wrong and empty answers."""
    registry = Registry.installed()
    table = {"use": "mathvista", "path": str(write_mathvista(tmp_path))}
    config = registry.choose("dataset", table, {"registry": registry}).config
    assert (config.grader.use, config.style.use) == ("mathvista", "free")
    assert config.second_opinion.use == "mathvista"
    assert config.second_opinion.config.strict
    other = registry.choose("dataset", table | {"style": {"use": "boxed"}}, {"registry": registry}).config
    assert (other.grader.use, other.style.use) == ("mathvista", "boxed")
    grader = registry.instance(config.grader, registry.instance(config.style))
    for problem in MathVista(config).problems():
        right = [problem.gold, problem.extra["answer"], f"So the answer is {problem.gold}.", boxed(problem.gold)]
        assert grader.score(problem, [*right, "I don't know."]) == [1.0] * 4 + [0.0]


def test_mathvista_in_json_is_the_same(tmp_path):
    json_copy = mathvista(write_mathvista_json(tmp_path / "json")).problems()
    parquet_copy = mathvista(write_mathvista(tmp_path / "parquet")).problems()
    assert [(one.id, one.messages, one.gold, one.kind) for one in json_copy] == [
        (one.id, one.messages, one.gold, one.kind) for one in parquet_copy
    ]
    for one, other in zip(json_copy, parquet_copy, strict=True):
        same = ("question_type", "answer_type", "choices", "precision", "answer", "query", "metadata")
        assert {name: one.extra[name] for name in same} == {name: other.extra[name] for name in same}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no object of problems"),
        ('{"1": {"pid": "1"}}', "has no column `question_type`"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_mathvista_json_that_cannot_be_read_is_named(tmp_path, text, named):
    (tmp_path / "testmini.json").write_text(text)
    assert named in refused(lambda: mathvista(tmp_path))


def test_mathvista_leaves_a_source_out(tmp_path):
    write_mathvista(tmp_path, 8)
    every, rest = mathvista(tmp_path), mathvista(tmp_path, leave_out=["Geometry3K"])
    assert {one.id for one in every.problems()} - {one.id for one in rest.problems()} == {"mathvista:4", "mathvista:8"}
    assert every.fingerprint() != rest.fingerprint()
    assert rest.notes() == ("2 problems from Geometry3K are left out.",)
    assert every.notes() == ()
    assert "no row of it is a problem" in refused(lambda: mathvista(tmp_path, leave_out=["Geometry3K", "GeoQA+"]))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"answer": "no choice"}, "among the choices"),
        ({"question_type": "essay"}, "`question_type` is 'essay'"),
        ({"question_type": "free_form", "answer_type": "text"}, "`answer_type` 'text'"),
        ({"pid": "1"}, "has the id `mathvista:1` of"),
        ({"metadata": None}, "`metadata` has no `source`"),
        ({"query": ""}, "`query` is ''"),
        ({"decoded_image": {"bytes": b"no image", "path": None}}, "cannot be decoded"),
    ],
)
def test_a_mathvista_row_that_cannot_be_read_is_named(tmp_path, change, named):
    rows = mathvista_rows(4)
    rows[2] |= change
    write(tmp_path / "testmini-00000-of-00001-a.parquet", rows, MATHVISTA)
    message = refused(lambda: mathvista(tmp_path))
    assert "testmini-00000-of-00001-a.parquet, row 3" in message
    assert named in message


def test_a_geometry3k_row_that_cannot_be_read_is_named(tmp_path):
    rows = geometry3k_rows("train", 3)
    rows[1] |= {"problem": "no place for it", "images": [{"bytes": b"\x89PNG cut", "path": None}]}
    write(tmp_path / "train-00000-of-00001.parquet", rows, GEOMETRY3K)
    assert "train-00000-of-00001.parquet, row 2" in refused(lambda: geometry3k(tmp_path))
    write(tmp_path / "train-00000-of-00001.parquet", [rows[0] | {"images": []}], GEOMETRY3K)
    assert "1 `<image>` and the row 0 images" in refused(lambda: geometry3k(tmp_path))
    assert "has no split `test`" in refused(lambda: geometry3k(tmp_path, split="test"))
    assert "does not exist; `path` is a folder" in refused(lambda: geometry3k(tmp_path / "nowhere"))


def test_a_missing_column_is_named(tmp_path):
    for column in ("precision", "query"):
        schema = pa.schema([field for field in MATHVISTA if field.name != column])
        rows = [{name: value for name, value in row.items() if name != column} for row in mathvista_rows(2)]
        write(tmp_path / column / "testmini-00000-of-00001-a.parquet", rows, schema)
        message = refused(lambda column=column: mathvista(tmp_path / column))
        assert f"has no column `{column}`" in message


@pytest.mark.parametrize("kind", ["mathvista", "geometry3k"])
def test_bad_images_are_left_out_or_replaced_and_counted(tmp_path, kind):
    bad = {"bytes": b"\x89PNG cut", "path": None}
    if kind == "mathvista":
        rows = mathvista_rows(4)
        rows[1] |= {"decoded_image": bad}
        write(tmp_path / "testmini-00000-of-00001-a.parquet", rows, MATHVISTA)
        make = mathvista
    else:
        rows = geometry3k_rows("train", 4)
        rows[1] |= {"images": [bad]}
        write(tmp_path / "train-00000-of-00001.parquet", rows, GEOMETRY3K)
        make = geometry3k
    assert "cannot be decoded" in refused(lambda: make(tmp_path))
    skipped, replaced = (make(tmp_path, on_bad_image=policy) for policy in ("skip", "replace"))
    assert (len(skipped.problems()), len(replaced.problems())) == (3, 4)
    assert replaced.problems()[1].images[0].key == "grey"
    for dataset, what in ((skipped, "left out"), (replaced, "shown with a grey square")):
        (note,) = dataset.notes()
        assert note.startswith(f"1 problems have an image that cannot be read and are {what}; the first: ")
        assert "row 2" in note


def test_mathvistas_test_split_has_no_answers():
    with pytest.raises(ValidationError, match="testmini"):
        MathVistaConfig(split="test")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_hub_is_asked_once_and_the_commit_is_pinned(tmp_path, monkeypatch):
    """The Hub, played by a function with the signature and errors of the real one."""
    asked = []

    def snapshot(repo_id, *, repo_type, revision, local_files_only=False, allow_patterns=None, etag_timeout=None):
        asked.append((repo_id, repo_type, revision, local_files_only, allow_patterns))
        if not local_files_only:
            write_geometry3k(tmp_path / COMMIT)
        elif not (tmp_path / COMMIT).exists():
            raise LocalEntryNotFoundError("not there")
        return str(tmp_path / COMMIT)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    dataset = Geometry3K(Geometry3KConfig(data_revision="main"))
    assert len(dataset.problems()) == 12
    assert dataset.pinned() == {"data_revision": COMMIT}
    shards = ["train-*.parquet", "data/train-*.parquet"]
    assert asked[1] == ("hiyouga/geometry3k", "dataset", "main", False, shards)
    again = Geometry3K(Geometry3KConfig(data_revision="main"))
    assert again.fingerprint() == dataset.fingerprint() == geometry3k(tmp_path / COMMIT).fingerprint()
    assert len(asked) == 3
    assert asked[2][3]


def test_a_run_writes_the_commit_into_its_resolved_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(write_geometry3k(tmp_path / COMMIT)))
    table = {"version": 1, "name": "x", "model": {"path": "pocket:base"}, "answer": {"use": "boxed"}}
    table |= {"data": {"train": {"use": "geometry3k"}}, "stage": {"rl": {"use": "grpo", "policy": "base"}}}
    (tmp_path / "recipe.json").write_text(json.dumps(table | {"reward": {"math": {}}}))
    entries = Entries(recipe_file.read(tmp_path / "recipe.json"), tmp_path / "store")
    before = entries.stage_key("rl")
    (tmp_path / "resolved.json").write_text(json.dumps(resolved(entries)))
    again = recipe_file.read(tmp_path / "resolved.json")
    assert again.recipe.data["train"].config.data_revision == COMMIT
    assert Entries(again, tmp_path / "store").stage_key("rl") == before


def test_a_hub_out_of_reach_is_a_sentence(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = refused(lambda: MathVista(MathVistaConfig(data_revision="v1")))
    assert message.startswith("The dataset AI4Math/MathVista at v1 is not in the Hub's cache and could not be fetched")
    assert "Set `path`" in message
    assert not list(Path(tmp_path).rglob("*.parquet"))


def test_a_shard_that_is_missing_is_named(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write_geometry3k(tmp_path)
    for file in folder.glob("train-*"):
        file.rename(folder / "train-00000-of-00002.parquet")
    with pytest.raises(DataError, match="train-00001-of-00002"):
        geometry3k(tmp_path, split="train").problems()
