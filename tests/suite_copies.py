"""Small copies of TIGER-Lab/MEGA-Bench and UCSC-VLAA/VLAA-Thinking in the Hub's format: same files, columns, types."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from hub_copies import figure, write

MEGA_COLUMNS = (
    "id", "task_name", "task_description", "global_media", "example_text", "example_media", "query_text", "query_media",
    "answer", "metric_info", "eval_context", "taxonomy_tree_path", "application", "input_format", "output_format",
)  # fmt: skip
MEGA = pa.schema([(name, pa.string()) for name in MEGA_COLUMNS])
ORACLE: Mapping[str, str] = {
    "angle_seq_float_rmse": "[90, 45.5, 44.5]",
    "boxed_single_numerical_match": "\\boxed{\\frac{32}{3}}",
    "chess_move_list_jaccard_index": "[Nf3, Qxh5#]",
    "code_result_exact_str_match": "```result\n66.5\n```",
    "dict_equality": "{'Ref1': 'C', 'Ref2': 'D'}",
    "dict_exact_str_match_agg_recall": "{'1': 'cat', '2': 'dog'}",
    "dict_jaccard_agg_jaccard": "{'cat': '[(0, 1), (0, 2)]', 'dog': '[(3, 3)]'}",
    "dict_nbbox_iou_tuple_agg_jaccard": "{'waldo': '(0.16, 0.7, 0.18, 0.74)'}",
    "dict_precision": "{'A': 'entailed', 'B': 'refuted'}",
    "dict_set_equality_agg_jaccard": "{'a': '[1, 2]', 'b': 'x, y'}",
    "exact_str_match": "B",
    "exact_str_match_case_insensitive": "Turn Left",
    "general_single_numerical_match": "$\\frac{32}{3}$",
    "jaccard_index": "[1, 2, 3]",
    "jaccard_index_case_insensitive": "['M2', 'M11']",
    "latex_expr_equality": "\\frac{x^2}{2} + 1",
    "longest_common_list_prefix_ratio": "[(0, 1), (1, 2)]",
    "multi_ref_phrase": "two, 2",
    "nbbox_iou_sequence": "[(0.1, 0.2, 0.5, 0.6), (0.5, 0.5, 0.9, 0.9)]",
    "nbbox_iou_single": "(0.1, 0.2, 0.5, 0.6)",
    "nbbox_iou_tuple": "[(0.1, 0.2, 0.5, 0.6), (0.5, 0.5, 0.9, 0.9)]",
    "near_str_match": "The Château de Versailles",
    "normalized_rmse": "0.49",
    "normalized_similarity_damerau_levenshtein": "a line of handwriting",
    "number_rel_diff_ratio": "4.5",
    "positive_int_match": "3",
    "sequence_accuracy_case_insensitive": "[Liver, Spleen]",
    "sequence_coords_similarity": "[[0.26, 0.35], [0.0, 0.0]]",
    "sequence_equality": "[1, 6, 3]",
    "sequence_equality_case_insensitive": "[a, B]",
    "set_equality": "A, B",
    "set_equality_case_insensitive": "[a, B]",
    "set_precision": "[#PS5, #BMW]",
    "simple_str_match": "St. John-Smith",
    "str_set_equality_comma": "none, 12",
    "str_set_equality_line_break": "Acme Inc.\nOther Ltd.",
    "text_with_latex_expr_equality": "the input $y$ and $x^2+1$.",
    "xml_nbbox_iou_single": "<box>0.1, 0.2, 0.5, 0.6</box>",
    "xml_norm_point_distance": "<point>0.3, 0.4</point>",
    "xml_norm_point_in_bbox": "",
}
"""A right answer for every rule that is scored."""


def metric_info(rules: Mapping[str, str], parser: str = "answer_string", how: str = "mean") -> dict[str, Any]:
    """How a task is scored, as the column has it."""
    weights = dict.fromkeys(rules, 1)
    return {
        "field_score_function": dict(rules),
        "aggregation": {"function": how, "field_weights": weights},
        "response_parse_function": parser,
    }


def mega_row(number: int, task: str, answer: Mapping[str, str], info: Mapping[str, Any], **more: str) -> dict[str, str]:
    """A query with an image of its own and an example with another."""
    row = dict.fromkeys(MEGA_COLUMNS, "") | {
        "id": str(number), "task_name": task, "task_description": f"Do {task}.", "global_media": "[]",
        "example_text": "Example: <image>\nAnswer: so", "example_media": f"['./data/{task}/example.png']",
        "query_text": "<image>What now?", "query_media": f"['./data/{task}/{number}.png']", "answer": str(dict(answer)),
        "metric_info": str(dict(info)), "eval_context": "{}",
    }  # fmt: skip
    return row | more


def mega_rows() -> list[dict[str, str]]:
    """Three tasks that are scored, with 3, 2 and 1 queries; one judged, one that runs code, one with videos."""
    one, several = metric_info({"Line": "exact_str_match"}), {"a": "simple_str_match", "b": "set_equality"}
    judged = metric_info({"##poem": "gpt_4o_as_judge"}, "dummy")
    code = metric_info({"program": "program_judge"})
    point = {"eval_context": "{'bounding_boxes': ['(0.2, 0.2, 0.4, 0.6)']}"}
    return [
        *(mega_row(number, "lines", {"Line": str(number)}, one) for number in (1, 2, 3)),
        *(mega_row(n, "parts", {"a": "New York", "b": "[1, 2]"}, metric_info(several, "json")) for n in (4, 5)),
        mega_row(6, "tap", {"Position": ""}, metric_info({"Position": "xml_norm_point_in_bbox"}), **point),
        mega_row(7, "poems", {"##poem": ""}, judged),
        mega_row(8, "programs", {"program": ""}, code, eval_context="{'test_case': [{'input': ['1']}]}"),
        mega_row(9, "films", {"Line": "A"}, one, query_text="<video>?", query_media="['./data/films/9.mp4']"),
    ]


def write_mega(folder: Path, rows: Sequence[Mapping[str, str]] | None = None) -> Path:
    """`core/test-00000-of-00001.parquet` and the unpacked images."""
    rows = mega_rows() if rows is None else rows
    write(folder / "core" / "test-00000-of-00001.parquet", rows, MEGA)
    draw = random.Random(5)
    for row in rows:
        for name in ("example", row["id"]):
            file = folder / "data" / row["task_name"] / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(figure(draw)["bytes"])
    return folder


def vlaa_rows() -> list[dict[str, Any]]:
    """One row of each source and form of answer; two on one image."""
    rows: list[tuple[str, str, Any]] = [
        ("clevr_math/CLEVR_train_1.png", "Subtract all balls. How many are left?", 3),
        ("geoqa170k/geo-1.png", "How long is AB?\nChoices:\nA: 1\nB: 2", "B"),
        ("synthesis/sine.png", "What is the function?", "Step 1: a = -5.\n\n\u2020Answer: y = -5 * sin(-5 * x)."),
        ("arxivqa/1907_1.jpg", "Which? \nA) this\nB) that", "A)"),
        ("coco/train2017/1.jpg", "Where is the dog?", "[0.1, 0.2, 0.5, 0.75]"),
        ("vg/VG_100K/2.jpg", "What is it?", "A dog."),
        ("vg/VG_100K/2.jpg", "What colour has it?", "Brown"),
        ("/allava_laion/images/100.jpeg", "What could it be?", "A map of a town."),
        ("docvqa/3.png", "What is the total?", 12.5),
    ]
    return [
        {
            "id": f"{image.strip('/').split('/')[0]}-{number}", "image": image, "question": question, "gt": gold,
            "ds_answer": f"<think>\nLet me see.\n</think>\n\nIt is {gold}.", "caption": "A picture.", "meta": {},
        }
        for number, (image, question, gold) in enumerate(rows, 1)
    ]  # fmt: skip


def write_vlaa(folder: Path, rows: Sequence[Mapping[str, Any]] | None = None, name: str = "GRPO-25K") -> Path:
    """The JSON list, and its images in `images/`."""
    rows = vlaa_rows() if rows is None else rows
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"VLAA-Thinking-{name}.json").write_text(json.dumps(rows, indent=2))
    draw = random.Random(6)
    for row in rows:
        file = folder / "images" / str(row.get("image", "x/none.png")).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(figure(draw)["bytes"])
    return folder
