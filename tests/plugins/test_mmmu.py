"""The dataset and the grader `mmmu`: prompts, images in place, and the official verdicts under every hash seed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import hub_copies
import huggingface_hub
import pyarrow as pa
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from pydantic import ValidationError
from warmrl_answers.boxed import Boxed
from warmrl_answers.config import BoxedConfig, FreeConfig
from warmrl_answers.free import Free
from warmrl_benchmarks import mmmu_parsing
from warmrl_benchmarks.config import MMMUConfig as GraderConfig
from warmrl_benchmarks.mmmu import LONGEST
from warmrl_benchmarks.mmmu import MMMU as Grader  # noqa: N811
from warmrl_benchmarks.mmmu_parsing import chosen, open_right, parsed
from warmrl_datasets.config import MMMUConfig
from warmrl_datasets.mmmu import MMMU, SUBJECTS

from warmrl.api import DataError, Image, Problem, Text
from warmrl.plugin.registry import Registry
from warmrl.testing import DatasetContract, RewardContract

OFFICIAL = json.loads((Path(__file__).parents[1] / "golden" / "mmmu_official.json").read_text())
BLOOD = ["red blood cells", "white blood cells", "platelets"]
CHOICE = Problem("c", (), "B", kind="choice", extra={"question_type": "multiple-choice", "options": BLOOD})
OPEN = Problem("o", (), "6.333", kind="open", extra={"question_type": "open", "options": [], "answers": ["6.333"]})


class TestMMMUContract(DatasetContract):
    plugin = "warmrl_datasets"
    name = "mmmu"
    settings: ClassVar = {"path": "data"}

    def table(self, folder):
        return {"path": str(hub_copies.write_mmmu(folder))}


class TestMMMUGraderContract(RewardContract):
    plugin = "warmrl_benchmarks"
    name = "mmmu"
    problem = CHOICE
    right = ("B", "(B)", "So we can see that it is white blood cells.")
    wrong = ("A", "The answer is C.", "", "I do not know.")


class TestDrawnContract(TestMMMUGraderContract):
    settings: ClassVar = {"mode": "official_random"}


def mmmu(folder, **settings):
    return MMMU(MMMUConfig(path=str(folder), **settings))


def grader(style=None, **settings):
    return Grader(GraderConfig(**settings), style or Free(FreeConfig()))


def refused(dataset):
    with pytest.raises(DataError) as raised:
        dataset().problems()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_prompts_are_official_and_images_in_place(tmp_path):
    problems = mmmu(hub_copies.write_mmmu(tmp_path), subjects=["Accounting"]).problems()
    first, second, third, fourth = problems
    assert [one.id for one in problems] == [f"mmmu:validation_Accounting_{number}" for number in range(1, 5)]
    before, image, after = first.messages[0].parts
    assert (before, type(image)) == (Text("What does "), Image)
    end = "\n\nAnswer with the option's letter from the given choices directly."
    assert after.text == f" show?\n(A) 12\n(B) a 'b'\n(C) C, D{end}"
    assert (first.gold, first.kind, first.extra["options"]) == ("B", "choice", ["12", "a 'b'", "C, D"])
    assert second.messages[0].parts[-1].text == "?\nAnswer the question using a single word or phrase."
    assert (second.gold, second.kind, second.extra["answers"]) == ("6.333", "open", ["6.333"])
    shape = "".join("i" if isinstance(one, Image) else "t" for one in third.messages[0].parts)
    assert shape == "tititit"
    assert len({one.key for one in third.images}) == 3
    pictures = [hub_copies.mmmu_rows("Accounting", "validation", 4)[3][f"image_{n}"]["bytes"] for n in (2, 1)]
    assert [one.key for one in fourth.images] == [hashlib.sha256(one).hexdigest() for one in pictures]
    assert fourth.messages[0].parts[-1].text.startswith(", then <image 2>: which?")
    assert (fourth.gold, fourth.extra["answers"]) == ("$MgS$", ["$MgS$", "MgS"])
    plain = mmmu(tmp_path, subjects=["Accounting"], direct=False).problems()
    assert plain[0].messages[0].parts[-1].text == " show?\n(A) 12\n(B) a 'b'\n(C) C, D"


def test_the_merged_table_is_the_same(tmp_path):
    rows = [row for one in ("Accounting", "Art_Theory") for row in hub_copies.mmmu_rows(one, "validation", 4)]
    hub_copies.write(tmp_path / "one" / "data" / "validation-00000-of-00001.parquet", rows, hub_copies.MMMU)
    merged, folders = mmmu(tmp_path / "one"), mmmu(hub_copies.write_mmmu(tmp_path / "many"))
    assert list(merged.problems()) == list(folders.problems())
    assert merged.notes()[0].startswith("28 of 30 subjects are not there: Agriculture, ")
    assert len(mmmu(tmp_path / "one", subjects=["Art_Theory"]).problems()) == 4
    assert mmmu(tmp_path / "many", subjects=["Art_Theory"]).notes() == ()
    assert len(mmmu(tmp_path / "many", split="dev").problems()) == 8


def test_an_image_that_no_text_names_comes_first(tmp_path):
    (row,) = hub_copies.mmmu_rows("Art", "validation", 1)
    row |= {"question": "What is it?"}
    hub_copies.write(tmp_path / "Art" / "validation-00000-of-00001.parquet", [row], hub_copies.MMMU)
    image, text = mmmu(tmp_path).problems()[0].messages[0].parts
    assert (type(image), text.text[:11]) == (Image, "What is it?")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"options": "['a', 5, 'c']"}, "the options"),
        ({"options": "__import__('os')"}, "the options"),
        ({"options": "[" + "'a', " * 9999 + "]"}, "the options"),
        ({"options": "[" * 9999}, "the options"),
        ({"answer": "D"}, "the answer 'D'"),
        ({"question_type": "essay"}, "`question_type` is 'essay'"),
        ({"question": "In <image 4>?"}, "its `image_4` is empty"),
        ({"id": "validation_1"}, "names no subject"),
        ({"id": "validation_Sums_1"}, "names no subject"),
        ({"image_1": None}, "has no image"),
        ({"image_1": {"bytes": b"no", "path": None}}, "cannot be decoded"),
        ({"id": "validation_Art_3"}, "has the id `mmmu:validation_Art_3` of"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path, change, named):
    rows = hub_copies.mmmu_rows("Art", "validation", 5)
    rows[4] |= change
    hub_copies.write(tmp_path / "Art" / "validation-00000-of-00001.parquet", rows, hub_copies.MMMU)
    message = refused(lambda: mmmu(tmp_path))
    assert "validation-00000-of-00001.parquet, row 5" in message
    assert named in message


def test_folders_and_columns_that_are_not_there(tmp_path):
    hub_copies.write_mmmu(tmp_path, ["Art"])
    assert "has no folder Music" in refused(lambda: mmmu(tmp_path, subjects=["Art", "Music"]))
    (tmp_path / "Art" / "dev-00000-of-00001.parquet").unlink()
    assert "has no split `dev`" in refused(lambda: mmmu(tmp_path, split="dev"))
    for column in ("options", "image_1"):
        schema = pa.schema([field for field in hub_copies.MMMU if field.name != column])
        rows = [{**row} for row in hub_copies.mmmu_rows("Art", "validation", 1)]
        rows[0].pop(column)
        hub_copies.write(tmp_path / column / "validation-00000-of-00001.parquet", rows, schema)
        assert f"has no column `{column}`" in refused(lambda column=column: mmmu(tmp_path / column))
    for settings in ({"split": "test"}, {"subjects": ["Sums"]}):
        with pytest.raises(ValidationError):
            MMMUConfig(**settings)


def test_every_subject_is_fetched_and_the_commit_is_pinned(tmp_path, monkeypatch):
    """The Hub, played by a function; a cache that lacks a subject is not enough."""
    asked, there = [], tmp_path / "0123abcd"

    def hub(repo_id, *, repo_type, revision, local_files_only=False, allow_patterns=None, etag_timeout=None):
        asked.append((repo_id, local_files_only, allow_patterns))
        if not local_files_only:
            hub_copies.write_mmmu(there, [pattern.split("/")[0] for pattern in allow_patterns], 1)
        elif not there.exists():
            raise LocalEntryNotFoundError("not there")
        return str(there)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    art = MMMU(MMMUConfig(subjects=["Art"], data_revision="main"))
    assert (len(art.problems()), art.pinned()) == (1, {"data_revision": "0123abcd"})
    assert asked[1] == ("MMMU/MMMU", False, ["Art/validation-*.parquet"])
    assert len(MMMU(MMMUConfig()).problems()) == len(SUBJECTS) == 30
    assert [one[1] for one in asked] == [True, False, True, False]
    MMMU(MMMUConfig(subjects=["Art"])).problems()
    assert [one[1] for one in asked][4:] == [True]


def test_options_are_read_as_officially():
    rows = OFFICIAL["choices"]
    found = sum(said is not None for _, _, said, _ in rows)
    assert found + len(OFFICIAL["open"]) > 1000
    for number, response, lmms_eval, mmmus in rows:
        options = dict(zip("ABCDE", OFFICIAL["options"][number], strict=False))
        assert chosen(response, options, "lmms_eval") == lmms_eval, response
        assert chosen(response, options, "mmmu") == mmmus, response
    assert sum(one != other for *_, one, other in rows) > 50


def test_open_answers_are_judged_as_officially():
    for number, response, right in OFFICIAL["open"]:
        gold = OFFICIAL["golds"][number]
        assert open_right(parsed(response), gold if isinstance(gold, list) else [gold]) is right, response


def test_verdicts_are_the_same_under_every_hash_seed():
    code = (
        "import hashlib, json\n"
        "from mmmu_parsing import chosen, open_right, parsed\n"
        f"official = json.load(open({str(Path(__file__).parents[1] / 'golden' / 'mmmu_official.json')!r}))\n"
        "said = [[parsed(text), open_right(parsed(text), ['5', 'MgS'])] for _, text, _ in official['open']]\n"
        "said += [chosen(text, dict(zip('ABCDE', official['options'][n])), 'mmmu') for n, text, *_ in "
        "official['choices']]\n"
        "print(hashlib.sha256(json.dumps(said).encode()).hexdigest())\n"
    )
    found = set()
    for seed in range(10):
        environment = {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(mmmu_parsing.__file__).parent)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def test_grades_of_options():
    texts = ["(B)", "It must be C.", "no idea", ""]
    right, wrong, *rest = grader().grade(CHOICE, texts)
    assert (right.score, right.extracted, right.verdict) == (1.0, "B", "right")
    assert (wrong.score, wrong.extracted, wrong.verdict) == (0.0, "C", "wrong")
    assert [(one.score, one.extracted, one.verdict) for one in rest] == [(0.0, None, "no answer")] * 2
    drawn = grader(mode="official_random").grade(CHOICE, texts)
    assert [one.score for one in drawn] == [1.0, 0.0, 1 / 3, 1 / 3]
    assert [one.parts.get("drawn", 0.0) for one in drawn] == [0.0, 0.0, 1 / 3, 1 / 3]
    assert [one.verdict for one in drawn] == ["right", "wrong", "no answer", "no answer"]
    dna = [grader(letters=one).grade(CHOICE, ["DNA is shown"])[0].extracted for one in ("lmms_eval", "mmmu")]
    assert dna == ["A", None]


def test_grades_of_open_questions():
    grades = grader().grade(OPEN, ["The answer is 6.333.", "6.33", "x = 6.3", "", "6" * (LONGEST + 1)])
    assert [one.verdict for one in grades] == ["right", "right", "wrong", "no answer", "no answer"]
    assert [one.canonical for one in grades] == ["6.33", "6.33", "6.3", None, None]
    two = Problem("o", (), "$MgS$", extra={"answers": ["$MgS$", "MgS"]})
    assert grader().score(two, ["It is mgs", "It is Mg"]) == [1.0, 0.0]


def test_a_box_is_read_alone():
    boxed = grader(Boxed(BoxedConfig()))
    assert boxed.score(CHOICE, ["<think>(A) or (C)?</think>\\boxed{B}", "(B)", "\\boxed{C} not (B)"]) == [1.0, 1.0, 0.0]


def test_rows_of_other_files(tmp_path):
    assert grader().score(Problem("p", (), "B", extra={"choices": BLOOD}), ["B", "A"]) == [1.0, 0.0]
    assert grader().score(Problem("p", (), "42"), ["The result is 42", "41"]) == [1.0, 0.0]
    stored = Problem("p", (), "B", extra={"choices": BLOOD, "extraction": "B"})
    assert grader().score(stored, ["A"]) == [1.0]
    for extra in ({"question_type": "multiple-choice"}, {"question_type": "essay"}, {"options": ["a", 5]}):
        with pytest.raises(DataError, match="`question_type` is"):
            grader().score(Problem("p", (), "B", extra=extra), ["B"])
    with pytest.raises(DataError, match="`answers` is"):
        grader().score(Problem("p", (), "B", extra={"answers": "B"}), ["B"])


def test_a_recipes_table_is_graded_officially(tmp_path):
    registry = Registry.installed()
    table = {"use": "mmmu", "path": str(hub_copies.write_mmmu(tmp_path))}
    config = registry.choose("dataset", table, {"registry": registry}).config
    assert (config.grader.use, config.style.use, config.second_opinion.config.mode) == (
        "mmmu",
        "free",
        "official_random",
    )
    judge = registry.instance(config.grader, registry.instance(config.style))
    for problem in MMMU(config).problems():
        assert judge.score(problem, [problem.gold, "-7 or so"]) == [1.0, 0.0]
