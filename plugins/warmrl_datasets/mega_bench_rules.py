"""Which tasks of MEGA-Bench rules can score here: the same names as the reward `mega_bench` has (a test holds them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCORED = frozenset({
    "angle_seq_float_rmse", "boxed_single_numerical_match", "chess_move_list_jaccard_index",
    "code_result_exact_str_match", "dict_equality", "dict_exact_str_match_agg_recall", "dict_jaccard_agg_jaccard",
    "dict_nbbox_iou_tuple_agg_jaccard", "dict_precision", "dict_set_equality_agg_jaccard", "exact_str_match",
    "exact_str_match_case_insensitive", "general_single_numerical_match", "jaccard_index",
    "jaccard_index_case_insensitive", "latex_expr_equality", "longest_common_list_prefix_ratio", "multi_ref_phrase",
    "nbbox_iou_sequence", "nbbox_iou_single", "nbbox_iou_tuple", "near_str_match", "normalized_rmse",
    "normalized_similarity_damerau_levenshtein", "number_rel_diff_ratio", "positive_int_match",
    "sequence_accuracy_case_insensitive", "sequence_coords_similarity", "sequence_equality",
    "sequence_equality_case_insensitive", "set_equality", "set_equality_case_insensitive", "set_precision",
    "simple_str_match", "str_set_equality_comma", "str_set_equality_line_break", "text_with_latex_expr_equality",
    "xml_nbbox_iou_single", "xml_norm_point_distance", "xml_norm_point_in_bbox",
})  # fmt: skip
"""Rules for fields."""
PARSERS = frozenset({"answer_string", "json", "verbatim_answer_string"})
"""Ways to find the answer in a response."""
AGGREGATIONS = frozenset({"mean", "min"})
"""Ways from the fields' scores to the query's."""


def left_out(info: Mapping[str, Any]) -> str:
    """Why a task with this `metric_info` isn't scored; "" when it is."""
    fields, how = info.get("field_score_function"), info.get("aggregation")
    if not isinstance(fields, Mapping) or not fields or not isinstance(how, Mapping):
        return "as they have no rules"
    others = info.get("global_aux_metrics") or {}
    for rule in (*fields.values(), *(others.values() if isinstance(others, Mapping) else ["global_aux_metrics"])):
        if rule not in SCORED:
            return f"by the rule `{rule}`"
    if info.get("response_parse_function") not in PARSERS:
        return f"by the response parser `{info.get('response_parse_function')}`"
    weights = how.get("field_weights")
    if how.get("function") not in AGGREGATIONS or not isinstance(weights, Mapping) or set(fields) - set(weights):
        return f"by the aggregation `{how.get('function')}`"
    return ""
