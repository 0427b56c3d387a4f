"""The dataset `vlaa_thinking` from a small copy in the Hub's format, and JSON lists as a data file."""

import json
from typing import ClassVar

import huggingface_hub
import pytest
from suite_copies import vlaa_rows, write_vlaa
from warmrl_datasets import rows
from warmrl_datasets.config import FilesConfig, VlaaThinkingConfig
from warmrl_datasets.files import Files
from warmrl_datasets.vlaa_thinking import VlaaThinking, with_tags
from warmrl_rewards.config import PAPER

from warmrl.api import DataError, Image, Text
from warmrl.testing import DatasetContract


class TestContract(DatasetContract):
    plugin = "warmrl_datasets"
    name = "vlaa_thinking"
    settings: ClassVar = {"path": "data"}

    def table(self, folder):
        return {"path": str(write_vlaa(folder))}


def vlaa(folder, **settings):
    return VlaaThinking(VlaaThinkingConfig(path=str(folder), **settings))


def refused(dataset):
    with pytest.raises(DataError) as raised:
        dataset().problems()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_rows_become_problems(tmp_path):
    problems = vlaa(write_vlaa(tmp_path)).problems()
    assert [one.kind for one in problems] == [
        "digit", "choice", "math", "choice", "iou", "open", "open", "open", "open",
    ]  # fmt: skip
    assert [one.gold for one in problems[:3]] == ["3", "B", "y = -5 * sin(-5 * x)."]
    assert problems[8].gold == "12.5"
    assert problems[0].id == "vlaa_thinking:clevr_math-1"
    assert [type(part) for part in problems[0].messages[0].parts] == [Image, Text]
    assert problems[0].solution == "<think>\nLet me see.\n</think>\n<answer>It is 3.</answer>"
    as_released = vlaa(tmp_path, answer_tags=False).problems()
    assert as_released[0].solution == "<think>\nLet me see.\n</think>\n\nIt is 3."
    assert problems[5].cluster == problems[6].cluster != problems[4].cluster
    assert problems[7].extra == {"source": "allava_laion"}
    assert vlaa(tmp_path).notes() == []


def test_traces_that_have_tags_or_no_reasoning_stay_as_they_are():
    for text in ("<think>a</think><answer>3</answer>", "It is 3.", "<think>a</think>\n "):
        assert with_tags(text) == text
    assert with_tags("a</think>b</think> 3") == "a</think>b</think>\n<answer>3</answer>"


def test_each_kind_has_a_branch_in_the_mixed_reward(tmp_path):
    kinds = {one.kind for one in vlaa(write_vlaa(tmp_path)).problems()}
    assert kinds == {*PAPER, "open"}


def test_both_files_and_the_names_of_the_readme(tmp_path):
    write_vlaa(tmp_path, name="SFT-126K")
    assert len(vlaa(tmp_path, split="sft").problems()) == 9
    (tmp_path / "VLAA-Thinking-SFT-126K.json").rename(tmp_path / "train-sft.json")
    assert len(vlaa(tmp_path, split="sft").problems()) == 9
    assert "has no VLAA-Thinking-GRPO-25K.json or train-grpo.json" in refused(lambda: vlaa(tmp_path))


def test_the_last_rows_are_held_out(tmp_path):
    write_vlaa(tmp_path)
    every = [one.id for one in vlaa(tmp_path).problems()]
    train, held = (vlaa(tmp_path, held_out=4, part=part) for part in ("train", "held_out"))
    assert [one.id for one in train.problems()] == every[:5]
    assert [one.id for one in held.problems()] == every[5:]
    assert len({vlaa(tmp_path).fingerprint(), train.fingerprint(), held.fingerprint()}) == 3
    assert "is empty" in refused(lambda: vlaa(tmp_path, part="held_out"))


def test_kinds_can_be_chosen(tmp_path):
    problems = vlaa(write_vlaa(tmp_path), kinds=["math", "digit"]).problems()
    assert [one.kind for one in problems] == ["digit", "math"]


def test_a_file_is_read_in_pieces(tmp_path, monkeypatch):
    write_vlaa(tmp_path)
    whole = list(vlaa(tmp_path).problems())
    for size in (1, 7, 100):
        monkeypatch.setattr(rows, "CHUNK", size)
        assert list(vlaa(tmp_path).problems()) == whole


@pytest.mark.parametrize("data", [None, b"", b"no image"])
def test_bad_images_by_policy(tmp_path, data):
    write_vlaa(tmp_path)
    file = tmp_path / "images" / "vg" / "VG_100K" / "2.jpg"
    file.unlink()
    if data is not None:
        file.write_bytes(data)
    if data == b"no image":
        problem = vlaa(tmp_path).problems()[5]
        with pytest.raises(DataError, match=r"2\.jpg cannot be decoded"):
            problem.images[0].load()
    else:
        assert "row 6: the image" in refused(lambda: vlaa(tmp_path))
    skipped, replaced, alone = (vlaa(tmp_path, on_bad_image=policy) for policy in ("skip", "replace", "text"))
    assert [len(one.images) for one in alone.problems()] == [1] * 5 + [0, 0] + [1] * 2
    assert alone.notes()[0].startswith("2 problems are text alone for 1 bad images")
    assert len(skipped.problems()) == 7
    assert skipped.notes()[0].startswith("2 problems are left out for 1 bad images")
    assert len(replaced.problems()) == 9
    assert replaced.notes()[0].startswith("2 problems show a grey square")
    assert len({vlaa(tmp_path, on_bad_image=policy).fingerprint() for policy in ("skip", "replace", "text")}) == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"gt": None}, "`gt` is None"),
        ({"gt": {"a": 1}}, "`gt` is {'a': 1}"),
        ({"gt": True}, "`gt` is True"),
        ({"question": " "}, "`question` is ' '"),
        ({"image": 5}, "`image` is 5"),
        ({"image": "../../secret.png"}, "leaves"),
        ({"id": "clevr_math-1"}, "has the id `clevr_math-1`, which an earlier row has"),
        ({"ds_answer": 3.5, "question": "<image> and <image>?"}, "2 `<image>` and the row 1 images"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path, change, named):
    write_vlaa(tmp_path)
    found = vlaa_rows()
    found[2] |= change
    (tmp_path / "VLAA-Thinking-GRPO-25K.json").write_text(json.dumps(found))
    message = refused(lambda: vlaa(tmp_path))
    assert "VLAA-Thinking-GRPO-25K.json, row 3" in message
    assert named in message


def test_ids_that_come_again_can_be_numbered(tmp_path):
    found = [row | {"id": "same"} for row in vlaa_rows()[:3]]
    problems = vlaa(write_vlaa(tmp_path, found), repeated_ids="number").problems()
    assert [one.id for one in problems] == [f"vlaa_thinking:same{end}" for end in ("", "#2", "#3")]


def test_a_column_that_is_missing_is_named(tmp_path):
    write_vlaa(tmp_path, [{key: value for key, value in row.items() if key != "gt"} for row in vlaa_rows()])
    assert "row 1 has no column `gt`; it has `id`, `image`, `question`, `ds_answer`" in refused(lambda: vlaa(tmp_path))


def test_the_hub_gives_the_questions_and_not_the_images(tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    write_vlaa(tmp_path / commit)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path / commit))
    assert "name that folder as `image_folder`" in refused(lambda: VlaaThinking(VlaaThinkingConfig()))
    dataset = VlaaThinking(VlaaThinkingConfig(image_folder=str(tmp_path / commit / "images")))
    assert len(dataset.problems()) == 9
    assert dataset.pinned() == {"data_revision": commit}


def test_files_reads_json_lists(tmp_path):
    rows_ = [
        {"id": "a", "question": "2 + 2?", "answer": 4},
        {"id": "b", "question": "3?", "answer": "3", "kind": "digit"},
    ]
    (tmp_path / "train.json").write_text("\ufeff" + json.dumps(rows_))
    problems = Files(FilesConfig(path=str(tmp_path))).problems()
    assert [(one.id, one.gold) for one in problems] == [("a", "4"), ("b", "3")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "is no JSON list"),
        ('{"id": 1}', "is no JSON list"),
        ('[{"id": 1}, 5]', "row 2 is a int"),
        ('[{"id": 1}, {"id": ', "row 2 is not JSON"),
        ('[{"id": 1}', "row 2 is not JSON"),
        ('[{"id": "\ud800', "row 1 is not JSON"),
        ("[" * 100_000, "row 1 is not JSON"),
        ("[{" + '"a":{' * 50_000, "row 1 is not JSON"),
    ],
)
def test_a_json_file_that_is_no_list_of_objects_is_named(tmp_path, text, named):
    file = tmp_path / "train.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    message = refused(lambda: Files(FilesConfig(path=str(file))))
    assert named in message
    assert "train.json" in message
