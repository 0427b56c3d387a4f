"""The rules by the names that MEGA-Bench's `metric_info` has for them, and the ones that are not scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from warmrl_benchmarks.mega_bench import amounts, formulas, members, places, texts
from warmrl_benchmarks.mega_bench.formulas import Same
from warmrl_benchmarks.mega_bench.literals import LONGEST

Rule = Callable[[Any, Any], float]

RULES: Mapping[str, Rule] = {
    "angle_seq_float_rmse": amounts.angles,
    "boxed_single_numerical_match": amounts.boxed_number,
    "chess_move_list_jaccard_index": members.chess_moves,
    "code_result_exact_str_match": texts.code_result,
    "dict_equality": members.same_dict,
    "dict_exact_str_match_agg_recall": members.dict_recall,
    "dict_jaccard_agg_jaccard": members.over_keys(members.jaccard),
    "dict_nbbox_iou_tuple_agg_jaccard": members.over_keys(places.boxes),
    "dict_precision": members.dict_precision,
    "dict_set_equality_agg_jaccard": members.over_keys(members.same_set),
    "exact_str_match": texts.exact,
    "exact_str_match_case_insensitive": texts.exact_in_any_case,
    "general_single_numerical_match": amounts.one_number,
    "jaccard_index": members.jaccard,
    "jaccard_index_case_insensitive": members.jaccard_in_any_case,
    "longest_common_list_prefix_ratio": members.common_prefix,
    "multi_ref_phrase": texts.any_phrase,
    "nbbox_iou_sequence": places.box_sequence,
    "nbbox_iou_single": places.one_box,
    "nbbox_iou_tuple": places.boxes,
    "near_str_match": texts.near,
    "normalized_rmse": amounts.within_a_tenth,
    "normalized_similarity_damerau_levenshtein": texts.similarity,
    "number_rel_diff_ratio": amounts.relative,
    "positive_int_match": amounts.positive_count,
    "sequence_accuracy_case_insensitive": members.list_accuracy,
    "sequence_coords_similarity": places.keypoints,
    "sequence_equality": members.same_list,
    "sequence_equality_case_insensitive": members.same_list_in_any_case,
    "set_equality": members.same_set,
    "set_equality_case_insensitive": members.same_set_in_any_case,
    "set_precision": members.precision,
    "simple_str_match": texts.simple,
    "str_set_equality_comma": members.same_items,
    "str_set_equality_line_break": members.same_lines,
    "xml_nbbox_iou_single": places.xml_boxes,
    "xml_norm_point_distance": places.point_distance,
}
"""Rules of (response, gold)."""
FORMULAS: Mapping[str, Callable[[Any, Any, Same], float]] = {
    "latex_expr_equality": formulas.formula,
    "text_with_latex_expr_equality": formulas.text_with_formulas,
}
"""Rules that may ask whether two expressions are equal."""
IN_CONTEXT: Mapping[str, Rule] = {"xml_norm_point_in_bbox": places.point_in_box}
"""Rules of (response, the query's context)."""
METRICS = frozenset([*RULES, *FORMULAS, *IN_CONTEXT])
"""Names of the rules that are scored."""
LEFT_OUT: Mapping[str, str] = {
    "ascii_art_gpt4o_judge": "a language model judges it",
    "bleu": "needs a tokenizer of another project; no core task uses it",
    "constrained_generation": "needs word lists and pronunciations of other projects",
    "geo_proximity_location_dict": "needs a geocoding service",
    "gleu_cn": "needs a Chinese word segmenter",
    "gpt_4o_as_judge": "a language model judges it",
    "nli_entailment": "needs another model; no core task uses it",
    "program_judge": "runs the model's programs",
    "symbolic_planning_test": "needs a planner's simulator",
    "unsupported": "has no rule",
}
"""Names of the rules that are not scored, and why."""


@dataclass(frozen=True)
class Asked:
    """One field: its rule's name, the response's value and the gold's, the query's context."""

    metric: str
    response: Any
    gold: Any
    context: Mapping[str, Any]


def score(field: Asked, same: Same) -> float:
    """A number in [0, 1], or -1 when the field doesn't count. What a rule can't read scores 0, as officially."""
    if isinstance(field.response, str) and len(field.response) > LONGEST:
        return 0.0
    try:
        if field.metric in FORMULAS:
            found = FORMULAS[field.metric](field.response, field.gold, same)
        elif field.metric in IN_CONTEXT:
            found = IN_CONTEXT[field.metric](field.response, field.context)
        else:
            found = RULES[field.metric](field.response, field.gold)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        return 0.0
    if found == amounts.UNSCORED:
        return found
    return min(1.0, max(0.0, float(found))) if math.isfinite(found) else 0.0
