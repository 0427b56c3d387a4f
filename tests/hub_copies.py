"""Small copies of hiyouga/geometry3k, AI4Math/MathVista and MMMU/MMMU as the Hub has them: files, columns, types."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image, ImageDraw
from pyarrow import parquet

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
GEOMETRY3K = pa.schema([("images", pa.list_(IMAGE)), ("problem", pa.string()), ("answer", pa.string())])
MATHVISTA = pa.schema(
    [
        ("pid", pa.string()), ("question", pa.string()), ("image", pa.string()), ("decoded_image", IMAGE),
        ("choices", pa.list_(pa.string())), ("unit", pa.string()), ("precision", pa.float64()),
        ("answer", pa.string()), ("question_type", pa.string()), ("answer_type", pa.string()),
        ("metadata", pa.struct([
            ("category", pa.string()), ("context", pa.string()), ("grade", pa.string()),
            ("img_height", pa.int64()), ("img_width", pa.int64()), ("language", pa.string()),
            ("skills", pa.list_(pa.string())), ("source", pa.string()), ("split", pa.string()), ("task", pa.string()),
        ])),
        ("query", pa.string()),
    ]
)  # fmt: skip
MMMU = pa.schema(
    [(name, pa.string()) for name in ("id", "question", "options", "explanation")]
    + [(f"image_{number}", IMAGE) for number in range(1, 8)]
    + [(name, pa.string()) for name in ("img_type", "answer", "topic_difficulty", "question_type", "subfield")]
)
# The official hints, by type of answer.
HINTS = {
    "text": "and provide the correct option letter, e.g., A, B, C, D, at the end.",
    "integer": "requiring an integer answer and provide the final value, e.g., 1, 2, 3, at the end.",
    "float": "requiring a floating-point number with one decimal place and provide the final value, e.g., 1.2, 1.3, "
    "1.4, at the end.",
}


def figure(draw: random.Random, width: int = 72, height: int = 56) -> dict[str, Any]:
    """A triangle as PNG bytes, as the Hub stores an image."""
    picture = Image.new("RGB", (width, height), "white")
    corners = [(draw.randrange(width), draw.randrange(height)) for _ in range(3)]
    ImageDraw.Draw(picture).polygon(corners, outline="black", fill=(draw.randrange(256), 200, 220))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def geometry3k_rows(split: str, count: int) -> list[dict[str, Any]]:
    """Problems on right triangles; every other answer is a surd."""
    draw = random.Random(split)
    rows = []
    for number in range(count):
        leg = draw.randrange(2, 30)
        answer = f"{leg} \\sqrt {{ 2 }}" if number % 2 else str(leg)
        text = f"<image>Both legs of the right triangle have the length {leg}. Find the "
        text += "hypotenuse." if number % 2 else "shorter leg."
        rows.append({"images": [figure(draw)], "problem": text, "answer": answer})
    return rows


def write_geometry3k(folder: Path, train: int = 12, validation: int = 4, test: int = 4) -> Path:
    """A folder with `data/SPLIT-00000-of-00001.parquet` of each split."""
    for split, count in {"train": train, "validation": validation, "test": test}.items():
        write(folder / "data" / f"{split}-00000-of-00001.parquet", geometry3k_rows(split, count), GEOMETRY3K)
    return folder


def mathvista_rows(count: int) -> list[dict[str, Any]]:
    """Multiple choice, integers and decimals in turn; every fourth problem comes from Geometry3K."""
    draw = random.Random(count)
    rows = []
    for number in range(1, count + 1):
        kind = ("text", "integer", "float")[number % 3]
        value = draw.randrange(2, 90)
        answer = {"text": f"{value}°", "integer": str(value), "float": f"{value}.5"}[kind]
        choices = [f"{value + off}°" for off in (3, -1, 0, 7)] if kind == "text" else None
        question = f"What does figure {number} show?"
        unit = "cm" if kind == "float" else None
        metadata = {
            "category": "math-targeted-vqa", "context": "geometry diagram", "grade": "high school", "img_height": 56,
            "img_width": 72, "language": "english", "skills": ["geometry reasoning"], "split": "testmini",
            "source": "Geometry3K" if number % 4 == 0 else "GeoQA+", "task": "geometry problem solving",
        }  # fmt: skip
        rows.append({
            "pid": str(number), "question": question, "image": f"images/{number}.jpg", "decoded_image": figure(draw),
            "choices": choices, "unit": unit, "precision": 1.0 if kind == "float" else None, "answer": answer,
            "question_type": "multi_choice" if choices else "free_form", "answer_type": kind, "metadata": metadata,
            "query": query(question, kind, unit, choices),
        })  # fmt: skip
    return rows


def query(question: str, kind: str, unit: str | None, choices: Sequence[str] | None) -> str:
    """The prompt as the Hub's column has it."""
    lines = [f"Hint: Please answer the question {HINTS[kind]}", f"Question: {question}"]
    lines[1] += f" (Unit: {unit})" if unit else ""
    lines += ["Choices:", *(f"({'ABCD'[i]}) {one}" for i, one in enumerate(choices))] if choices else []
    return "\n".join(lines)


def write_mathvista(folder: Path, count: int = 8) -> Path:
    """A folder with `data/testmini-00000-of-00001-HASH.parquet`, as the Hub names it."""
    write(folder / "data" / "testmini-00000-of-00001-725687bf7a18d64b.parquet", mathvista_rows(count), MATHVISTA)
    return folder


def write_mathvista_json(folder: Path, count: int = 8) -> Path:
    """A folder with `testmini.json` and `images`, as the project's repository has them; no queries."""
    (folder / "images").mkdir(parents=True)
    table = {}
    for row in mathvista_rows(count):
        (folder / row["image"]).write_bytes(row["decoded_image"]["bytes"])
        table[row["pid"]] = {name: row[name] for name in row if name not in ("decoded_image", "query")}
    (folder / "testmini.json").write_text(json.dumps(table))
    return folder


def mmmu_rows(subject: str, split: str, count: int) -> list[dict[str, Any]]:
    """In turn: options, an open question, options that are images, an open question with two golds and two images."""
    draw = random.Random(subject + split)
    rows = []
    for number in range(1, count + 1):
        row = dict.fromkeys(MMMU.names) | {"image_1": figure(draw), "img_type": "['Plots']", "subfield": subject}
        row |= {"id": f"{split}_{subject}_{number}", "topic_difficulty": "Easy", "explanation": ""}
        what = number % 4
        if what == 1:
            row |= {"question": "What does <image 1> show?", "options": "['12', \"a 'b'\", 'C, D']", "answer": "B"}
        elif what == 3:
            row |= {"question": "Which is like it?<image 1>", "options": "['<image 2>', '<image 3>']", "answer": "A"}
            row |= {"image_2": figure(draw), "image_3": figure(draw)}
        elif what == 2:
            row |= {"question": "How long is it in <image 1>?", "options": "[]", "answer": "6.333"}
        else:
            row |= {"question": "<image 2> and <image 1>, then <image 2>: which?", "options": "[]"}
            row |= {"image_2": figure(draw), "answer": "['$MgS$', 'MgS']"}
        rows.append(row | {"question_type": "multiple-choice" if what % 2 else "open"})
    return rows


def write_mmmu(folder: Path, subjects: Sequence[str] = ("Accounting", "Art_Theory"), count: int = 4) -> Path:
    """A folder with `SUBJECT/SPLIT-00000-of-00001.parquet` for each subject and split."""
    for subject in subjects:
        for split in ("dev", "validation"):
            write(folder / subject / f"{split}-00000-of-00001.parquet", mmmu_rows(subject, split, count), MMMU)
    return folder


def write(file: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """One Parquet file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(list(rows), schema), file)
