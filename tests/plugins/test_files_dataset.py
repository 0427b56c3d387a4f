"""The dataset `files`."""

import io
import json
import re
from typing import ClassVar

import pyarrow as pa
import pytest
from PIL import Image as Pillow
from pyarrow import parquet
from warmrl_datasets.config import FilesConfig
from warmrl_datasets.files import Files
from warmrl_datasets.images import GREY

from warmrl.api import DataError, Image, Text
from warmrl.testing import DatasetContract


def encoded(form="PNG", size=(6, 4), color=(200, 10, 10), mode="RGB", **options):
    out = io.BytesIO()
    Pillow.new(mode, size, color).save(out, form, **options)
    return out.getvalue()


def noise(form):
    out = io.BytesIO()
    Pillow.effect_noise((150, 150), 60).convert("RGB").save(out, form)
    return out.getvalue()


def write(folder, rows, name="train.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def row(number, **values):
    return {"id": f"p{number}", "question": f"What is {number}?", "answer": str(number), **values}


def files(path, **settings):
    return Files(FilesConfig(path=str(path), **settings))


def error(path, **settings):
    with pytest.raises(DataError) as raised:
        files(path, **settings).problems()
    message = str(raised.value)
    assert "\n" not in message
    return message


class TestJsonlContract(DatasetContract):
    plugin = "warmrl_datasets"
    name = "files"
    settings: ClassVar = {"path": "data"}

    def table(self, folder):
        (folder / "a.png").write_bytes(encoded())
        (folder / "b.jpg").write_bytes(encoded("JPEG"))
        rows = [row(1, images="a.png"), row(2, images=["a.png", "b.jpg"], solution="two", kind="count"), row(3)]
        write(folder, rows)
        return {"path": str(folder)}


class TestParquetContract(DatasetContract):
    plugin = "warmrl_datasets"
    name = "files"
    settings: ClassVar = {"path": "data", "question": "problem"}

    def table(self, folder):
        rows = [
            {
                "problem": f"<image>Find {i}.",
                "answer": str(i),
                "images": [{"bytes": encoded(color=(i, i, i)), "path": None}],
            }
            for i in range(70)
        ]
        (folder / "data").mkdir(exist_ok=True)
        for shard, part in enumerate((rows[:40], rows[40:])):
            parquet.write_table(pa.Table.from_pylist(part), folder / "data" / f"train-0000{shard}-of-00002.parquet")
        return {"path": str(folder), "question": "problem"}


def test_rows_become_problems(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    (tmp_path / "b.png").write_bytes(encoded(color=(1, 2, 3)))
    rows = [
        row(1, images=["a.png", "b.png"], question="<image>Left, <image> right?", level=3),
        {"question": "No id", "answer": 12, "image": "a.png", "solution": "it is 12", "kind": "count", "cluster": "c"},
    ]
    write(tmp_path, rows[:1])
    write(tmp_path, rows[1:], "test.jsonl")
    (one,) = files(tmp_path).problems()
    assert [type(part) for part in one.messages[0].parts] == [Image, Text, Image, Text]
    assert one.messages[0].parts[3] == Text(" right?")
    assert one.images[0].key != one.images[1].key
    assert one.images[1].load().getpixel((0, 0)) == (1, 2, 3)
    assert (one.id, one.gold, one.kind, one.solution, one.extra) == ("p1", "1", "math", None, {"level": 3})
    (other,) = files(tmp_path, split="test").problems()
    assert (other.id, other.gold, other.kind, other.solution, other.cluster) == (
        "test:1",
        "12",
        "count",
        "it is 12",
        "c",
    )
    assert [type(part) for part in other.messages[0].parts] == [Image, Text]


def test_parquet_bytes_structs_and_paths(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(color=(0, 0, 9)))
    values = [{"bytes": encoded(color=(9, 0, 0)), "path": "x.png"}, {"bytes": None, "path": "a.png"}]
    table = pa.Table.from_pylist([row(i, image=value, thumbnail=b"bytes") for i, value in enumerate(values)])
    parquet.write_table(table, tmp_path / "train.parquet")
    problems = files(tmp_path / "train.parquet").problems()
    assert [problem.images[0].load().getpixel((0, 0)) for problem in problems] == [(9, 0, 0), (0, 0, 9)]
    assert problems[0].extra == {}
    parquet.write_table(
        pa.table({"question": ["q"], "answer": ["1"], "image": [encoded("WEBP")]}), tmp_path / "b.parquet"
    )
    assert files(tmp_path / "b.parquet").problems()[0].images[0].load().size == (6, 4)


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (encoded("GIF"), (200, 10, 10)),
        (encoded("BMP"), (200, 10, 10)),
        (encoded("PNG", mode="RGBA", color=(0, 0, 0, 0)), (255, 255, 255)),
        (encoded("PNG", mode="LA", color=(0, 255)), (0, 0, 0)),
        (encoded("PNG", mode="1", color=1), (255, 255, 255)),
        (encoded("PNG", mode="P", color=0), (0, 0, 0)),
        (encoded("PNG", mode="I;16", color=0x8080), (128, 128, 128)),
        (encoded("JPEG", mode="CMYK", color=(0, 0, 0, 255)), (0, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, data, pixel):
    (tmp_path / "a").write_bytes(data)
    write(tmp_path, [row(1, image="a")])
    image = files(tmp_path).problems()[0].images[0].load()
    assert image.mode == "RGB"
    assert all(abs(a - b) <= 3 for a, b in zip(image.getpixel((0, 0)), pixel, strict=True))


BAD = {
    "missing": (None, "does not exist"),
    "empty": (b"", "cannot be decoded"),
    "page": (b"<html>404</html>", "cannot be decoded"),
    "cut png": (noise("PNG")[:-2000], "cannot be decoded"),
    "cut jpeg": (noise("JPEG")[:-2000], "cannot be decoded"),
    "cut webp": (noise("WEBP")[:-2000], "cannot be decoded"),
    "tiff": (encoded("TIFF"), "cannot be decoded"),
    "large": (encoded(size=(200, 200)), "the cap is 30,000 pixels"),
    "bomb": (encoded(size=(20000, 20000), mode="1", color=0), "more pixels than Pillow opens"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_images(tmp_path, name):
    data, rule = BAD[name]
    (tmp_path / "good.png").write_bytes(encoded())
    if data is not None:
        (tmp_path / "bad").write_bytes(data)
    write(tmp_path, [row(1, image="good.png"), row(2, images=None, image="bad"), row(3, image="good.png")])
    settings: ClassVar = {"images": "image", "max_pixels": 30_000}
    message = error(tmp_path, **settings)
    assert rule in message
    assert f"{tmp_path}/train.jsonl, row 2" in message
    assert "on_bad_image" in message
    skipped = files(tmp_path, on_bad_image="skip", **settings)
    assert [problem.id for problem in skipped.problems()] == ["p1", "p3"]
    assert list(skipped.bad_images) == ["p2"]
    replaced = files(tmp_path, on_bad_image="replace", **settings)
    assert replaced.problems()[1].images[0].load().getpixel((0, 0)) == GREY
    assert list(replaced.bad_images) == ["p2"]
    assert rule in replaced.bad_images["p2"]


def test_an_image_that_breaks_later_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    write(tmp_path, [row(1, image="a.png")])
    (problem,) = files(tmp_path).problems()
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"row 1.*a\.png does not exist"):
        problem.images[0].load()


@pytest.mark.parametrize("path", ["../a.png", "/etc/passwd", "x/../../a.png", "a\0b", 5, ["a.png", 5], {"path": ""}])
def test_image_paths_stay_inside(tmp_path, path):
    (tmp_path / "a.png").write_bytes(encoded())
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", [row(1, image=path)])
    assert "row 1" in error(tmp_path / "data")


def test_image_folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(encoded())
    write(tmp_path, [row(1, image="a.png")])
    assert files(tmp_path, image_folder=str(tmp_path / "pictures")).problems()[0].images[0].load().size == (6, 4)


def test_missing_columns_are_named_with_the_nearest(tmp_path):
    file = write(tmp_path, [{"qestion": "?", "answer": "1"}])
    message = error(file)
    assert "no column `question`" in message
    assert "`qestion`, `answer`" in message
    assert 'question = "qestion"' in message
    assert "no column `trace`" in error(write(tmp_path, [row(1)]), solution="trace")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("not json\n", "row 1 is not JSON"),
        ("[1]\n", "row 1 is a list"),
        ('{"question": "?", "answer": "1"}\n{"question": "?"}\n', "row 2: `answer` is None"),
        ('{"question": "", "answer": "1"}\n', "`question` is ''"),
        ('{"question": "?", "answer": ["1"]}\n', "`answer` is ['1']"),
        ('{"question": "?", "answer": true}\n', "`answer` is True"),
        ('{"id": 1, "question": "?", "answer": "1"}\n' * 2, "row 2 has the id `1` of"),
        ('{"question": "<image> ?", "answer": "1"}\n', "1 `<image>` and the row 0 images"),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("[" * 100_000, "is not JSON"),
        ("\udcff", "is not JSON"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, rule):
    (tmp_path / "train.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    message = error(tmp_path)
    assert rule in message
    assert "train.jsonl" in message


def test_bad_files_are_named(tmp_path):
    assert "does not exist" in error(tmp_path / "nothing")
    assert "no data file" in error(tmp_path)
    write(tmp_path, [row(1)])
    assert "there is train.jsonl" in error(tmp_path, split="test")
    (tmp_path / "train.parquet").write_bytes(b"PAR1 no")
    assert "holds both" in error(tmp_path)
    assert "not a whole Parquet file" in error(tmp_path / "train.parquet")
    (tmp_path / "data.csv").write_text("a,b")
    assert "ends in `.jsonl`, `.json` or `.parquet`" in error(tmp_path / "data.csv")
    parquet.write_table(
        pa.table({"question": pa.array([], pa.string()), "answer": pa.array([], pa.string())}), tmp_path / "no.parquet"
    )
    assert "is empty" in error(tmp_path / "no.parquet")


def test_every_image_bad_is_an_empty_split(tmp_path):
    write(tmp_path, [row(1, image="nowhere.png")])
    assert "skipped for a bad image" in error(tmp_path, on_bad_image="skip")


def test_fingerprint_follows_contents(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    write(tmp_path, [row(1, image="a.png")])
    before = files(tmp_path).fingerprint()
    assert files(tmp_path).fingerprint() == before
    (tmp_path / "a.png").write_bytes(encoded(color=(0, 0, 0)))
    image = files(tmp_path).fingerprint()
    write(tmp_path, [row(1, image="a.png", answer="2")])
    assert len({before, image, files(tmp_path).fingerprint()}) == 3


def said(role, content):
    return {"role": role, "content": content}


ASKED = [said("system", "Be brief."), said("user", [{"type": "image"}, {"type": "text", "text": "What is it?"}])]
PAIRS = {
    "texts": {"prompt": "What is it?", "chosen": "A", "rejected": "B"},
    "conversations": {"prompt": ASKED, "chosen": [said("assistant", "A")], "rejected": [said("assistant", "B")]},
    "no prompt": {"chosen": [*ASKED, said("assistant", "A")], "rejected": [*ASKED, said("assistant", "B")]},
}


@pytest.mark.parametrize("form", PAIRS)
def test_preference_pairs(tmp_path, form):
    """In each of TRL's forms, by its column names, with no right answer."""
    (tmp_path / "a.png").write_bytes(encoded())
    (problem,) = files(write(tmp_path, [{**PAIRS[form], "images": ["a.png"]}])).problems()
    assert (problem.solution, problem.rejected, problem.gold) == ("A", "B", "")
    *before, last = problem.messages
    assert [type(part) for part in last.parts] == [Image, Text]
    assert last.parts[1].text == "What is it?"
    assert [message.role for message in before] == ([] if form == "texts" else ["system"])


def test_pairs_by_other_names(tmp_path):
    path = write(tmp_path, [row(1, good="A", bad="B", chosen="no")])
    (problem,) = files(path, solution="good", rejected="bad").problems()
    assert (problem.solution, problem.rejected, problem.gold) == ("A", "B", "1")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"chosen": [said("assistant", "A")], "rejected": [said("assistant", "B")]}, "has no prompt"),
        ({"chosen": "A", "rejected": "B"}, "has no prompt"),
        ({"prompt": "?", "chosen": [said("user", "A")], "rejected": "B"}, "ends with the user"),
        ({"prompt": "?", "chosen": [], "rejected": "B"}, "without a message"),
        ({"prompt": "?", "chosen": [said("bot", "A")], "rejected": "B"}, "a message is {role, content}"),
        ({"prompt": "?", "chosen": [said("assistant", [3])], "rejected": "B"}, "a message is {role, content}"),
        ({"prompt": ASKED, "chosen": "A", "rejected": "B"}, "1 `<image>` and the row 0 images"),
    ],
)
def test_bad_pairs(tmp_path, values, reason):
    with pytest.raises(DataError, match=re.escape(reason)):
        files(write(tmp_path, [values])).problems()
