"""MEGA-Bench: the aggregation of tasks, the rules, and the dataset, from a small copy in the Hub's format."""

import json
import os
from pathlib import Path
from typing import ClassVar

import pytest
from suite_copies import ORACLE, mega_row, mega_rows, metric_info, write_mega
from warmrl_benchmarks.mega_bench import LEFT_OUT, METRICS, TaskScore, aggregate
from warmrl_benchmarks.mega_bench.config import MegaBenchConfig as GraderConfig
from warmrl_benchmarks.mega_bench.grader import MegaBench as Grader
from warmrl_benchmarks.mega_bench.judging import AGGREGATIONS, judge
from warmrl_benchmarks.mega_bench.literals import last_structure, structures
from warmrl_benchmarks.mega_bench.parsing import PARSERS, answer_string, verbatim
from warmrl_benchmarks.mega_bench.texts import edits
from warmrl_datasets import mega_bench_rules
from warmrl_datasets.config import MegaBenchConfig
from warmrl_datasets.mega_bench import MegaBench

from warmrl.api import DataError, Image, Problem, Text, UsageError
from warmrl.plugin.registry import Registry
from warmrl.testing import DatasetContract, RewardContract
from warmrl.testing.reward import PlainStyle

SHARED = Path(os.environ.get("WARMRL_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "mega_bench"


class TestContractOfTheDataset(DatasetContract):
    plugin = "warmrl_datasets"
    name = "mega_bench"
    settings: ClassVar = {"path": "data"}

    def table(self, folder):
        return {"path": str(write_mega(folder))}


class TestContractOfTheGrader(RewardContract):
    plugin = "warmrl_benchmarks"
    name = "mega_bench"
    settings: ClassVar = {"deadline": 1.0, "workers": 1}
    problem = Problem(
        "p", (), "{1, 2}", extra={"metric_info": metric_info({"a": "set_equality"}), "answer": {"a": "{1, 2}"}}
    )
    right = ("Answer: {2, 1}", "Sure.\n\nAnswer: 1, 2")
    wrong = ("Answer: {1}", "no idea", "")


@pytest.fixture(scope="module")
def grader():
    from warmrl.domain.config import Config

    found = Grader(GraderConfig(deadline=20.0, workers=1), PlainStyle(Config()))
    yield found
    found.close()


def mega_bench(folder, **settings):
    return MegaBench(MegaBenchConfig(path=str(folder), **settings))


def refused(dataset):
    with pytest.raises(DataError) as raised:
        dataset().problems()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def scored(rule, gold, response, parser="answer_string", context=None):
    query = {"metric_info": metric_info({"a": rule}, parser), "answer": {"a": gold}, "eval_context": context or {}}
    return judge(query, response)["score"]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data of MEGA-Bench is not here")
def test_aggregation_gives_the_published_figures():
    for model in json.loads((SHARED / "task_results_sample.json").read_text()).values():
        keys = ("name", "score", "eval_type", "num_query")
        rows = [dict(zip(keys, task, strict=True)) for task in model["tasks"]]
        published = model["summary"]
        for tasks in (model["tasks"], rows, model["tasks"][::-1], [TaskScore(*task) for task in model["tasks"]]):
            found = aggregate(tasks)
            assert found.core == pytest.approx(published["core"]["macro_mean_score"], abs=1e-12, rel=0)
            assert found.open == pytest.approx(published["open"]["macro_mean_score"], abs=1e-12, rel=0)
            assert found.overall == pytest.approx(published["overall_score"], abs=1e-12, rel=0)
            assert (found.core_tasks, found.core_samples) == (440, 6531)
            assert (found.open_tasks, found.open_samples) == (65, 1158)


def test_aggregation_counts_each_task_once_whatever_its_size():
    found = aggregate([("a", 1.0, "rule", 99), ("b", 0.0, "rule", 1), ("c", 0.25, "llm", 5), ("d", -1, "llm", 5)])
    assert (found.core, found.open, found.overall) == (0.5, 0.25, (0.5 * 2 + 0.25) / 3)
    alone = aggregate([("a", 0.5, "rule", 3)])
    assert (alone.core, alone.open, alone.overall) == (0.5, None, None)


@pytest.mark.parametrize(
    ("tasks", "named"),
    [
        ([("a", 1.0, "rule", 1), ("a", 1.0, "rule", 1)], "`a` comes twice"),
        ([("a", 1.5, "rule", 1)], "is no task of MEGA-Bench"),
        ([("a", float("nan"), "rule", 1)], "is no task of MEGA-Bench"),
        ([("a", 0.5, "human", 1)], "is no task of MEGA-Bench"),
        ([{"name": "a", "score": 0.5}], "is no task of MEGA-Bench"),
        ([("a", 0.5, "rule", 0)], "is no task of MEGA-Bench"),
    ],
)
def test_tasks_that_are_none_are_refused(tasks, named):
    with pytest.raises(DataError, match=named):
        aggregate(tasks)


def test_dataset_and_grader_score_the_same_rules():
    assert mega_bench_rules.SCORED == METRICS == set(ORACLE)
    assert set(PARSERS) == mega_bench_rules.PARSERS
    assert set(AGGREGATIONS) == mega_bench_rules.AGGREGATIONS
    assert not set(LEFT_OUT) & METRICS


def test_the_right_answer_scores_one_on_every_rule(tmp_path, grader):
    """As the benchmark's own oracle: the gold as a model would write it, alone and after some reasoning."""
    context = "{'bounding_boxes': ['(0.2, 0.2, 0.4, 0.6)']}"
    rows = []
    for number, (rule, gold) in enumerate(ORACLE.items()):
        parser = "verbatim_answer_string" if rule.startswith(("code", "boxed")) else "answer_string"
        rows.append(mega_row(number, rule, {"a": gold}, metric_info({"a": rule}, parser), eval_context=context))
    info = metric_info({rule: rule for rule in ORACLE if "\n" not in ORACLE[rule]}, "json")
    fields = {rule: gold for rule, gold in ORACLE.items() if rule in info["field_score_function"]}
    rows.append(mega_row(99, "all fields", fields, info, eval_context=context))
    problems = mega_bench(write_mega(tmp_path, rows)).problems()
    assert len(problems) == len(METRICS) + 1
    for problem in problems:
        grades = grader.grade(problem, [problem.gold, f"I see.\n\nAnswer: {problem.gold}"])
        assert [grade.score for grade in grades] == [1.0, 1.0], (problem.cluster, grades)
        assert {grade.verdict for grade in grades} == {"right"}
        wrong = grader.grade(problem, ["Answer: nothing of it at all", ""])
        assert all(grade.score < 1 for grade in wrong), (problem.cluster, wrong)


@pytest.mark.parametrize(
    ("rule", "gold", "response", "score"),
    [
        ("exact_str_match", "A", "(A) Paris", 1),
        ("exact_str_match", "16", "16.", 0),
        ("simple_str_match", "New York", "new-york.", 1),
        ("multi_ref_phrase", "[two, 2]", "2", 1),
        ("near_str_match", "Château de Versailles", "the chateau de versaille", 1 - 1 / 21),
        ("normalized_similarity_damerau_levenshtein", "abcd", "acbd", 0.75),
        ("set_precision", "[1, 2]", "[1, 3]", 0.5),
        ("jaccard_index", "[1, 2]", "2, 3", 1 / 3),
        ("sequence_accuracy_case_insensitive", "[A, B, C, D]", "[a, B, x, d]", 0.75),
        ("longest_common_list_prefix_ratio", "[1, 2, 3, 4]", "[1, 2, 4]", 0.5),
        ("dict_exact_str_match_agg_recall", "{'a': '1', 'b': '2'}", "{'a': '1', 'c': '9'}", 0.5),
        ("dict_precision", "{'a': '1', 'b': '2'}", "{'a': '1', 'c': '9', 'b': '2'}", 2 / 3),
        ("dict_jaccard_agg_jaccard", "{'a': '[1, 2]'}", "{'a': '[1]', 'b': '[2]'}", 0.25),
        ("nbbox_iou_single", "(0, 0, 1, 1)", "(0, 0, 0.5, 0.5)", 0.25),
        ("nbbox_iou_tuple", "[(0, 0, 1, 1)]", "[(0, 0, 1, 1), (2, 2, 3, 3)]", 0.5),
        ("nbbox_iou_sequence", "[(0, 0, 1, 1)]", "[(0, 0, 1, 1), (0, 0, 1, 1)]", 0),
        ("xml_norm_point_distance", "<point>0, 0</point>", "<point>0.3, 0.4</point>", 0.5),
        ("xml_norm_point_distance", "<point>0, 0</point>", "<point>3, 0.4</point>", 0),
        ("number_rel_diff_ratio", "4", "5", 0.75),
        ("normalized_rmse", "0.5", "0.45", 0.5),
        ("angle_seq_float_rmse", "[90, 45]", "[92, 45]", 0.9),
        ("positive_int_match", "2", "3", 0),
        ("positive_int_match", "0", "0", 0),  # No field counts.
        ("general_single_numerical_match", "$\\frac{32}{3}$", "10.6", 1),
        ("general_single_numerical_match", "100", "98.9", 0),
        ("general_single_numerical_match", "2\\pi", "x = 6.28", 1),
        ("general_single_numerical_match", "50%", "0.5", 1),
        ("general_single_numerical_match", "1,000", "10^3", 1),
        ("general_single_numerical_match", "D", "d.", 1),
        ("boxed_single_numerical_match", "\\boxed{\\frac{1}{2}}", "so \\boxed{0.5}", 1),
    ],
)
def test_scores_of_the_official_rules(rule, gold, response, score):
    assert scored(rule, gold, f"Answer: {response}") == pytest.approx(score, abs=1e-12)


def test_fields_are_weighted_and_those_that_do_not_count_are_left_out():
    info = metric_info({"a": "exact_str_match", "b": "exact_str_match", "c": "positive_int_match"}, "json")
    info["aggregation"]["field_weights"] = {"a": 3, "b": 1, "c": 4}
    query = {"metric_info": info, "answer": {"a": "1", "b": "2", "c": "0"}, "eval_context": {}}
    assert judge(query, "{'a': '1', 'b': '9', 'c': '0'}")["score"] == 0.75
    assert judge(query, "{'a': '1', 'b': '9', 'c': '2'}")["score"] == 3 / 8
    info["aggregation"]["function"] = "min"
    assert judge(query, "{'a': '1', 'b': '9', 'c': '0'}")["score"] == 0
    assert judge(query, "no dict")["fields"] == {"a": 0, "b": 0, "c": 0}


def test_where_the_answer_is_found():
    assert answer_string("So.\n\nAnswer: 12", one_line=True) == "12"
    assert answer_string("Answer: 1\nNo.\n**Answer: 12**", one_line=True) == "12"
    assert answer_string("Answer: 12\n\nBecause of it.", one_line=True) == "12"
    assert answer_string("Answer: 12\n\nBecause of it.", one_line=False) == "12\n\nBecause of it."
    assert answer_string("Answer: ```python\n[1, 2]\n```", one_line=True) == "[1, 2]"
    assert answer_string("Answer: 'B'", one_line=True) == "B"
    assert verbatim("Answer:\n\n```result\n 1\n\n 2\n```\n") == " 1\n\n 2"
    assert last_structure('first {"a": 1} then {"b": "[1, 2]"}') == {"b": [1, 2]}
    assert last_structure("{'it': \"isn't\"}") == {"it": "isn't"}
    assert structures("{ {a} [b] or [c] }[") == ["{ {a} [b] or [c] }"]
    assert structures("{ [1] {x} ] } ] [2}") == ["{ [1] {x} ] }"]


def test_edits_count_a_swap_once():
    assert [edits(*pair) for pair in (("ca", "abc"), ("abcd", "acbd"), ("", "xy"), ("kitten", "sitting"))] == [
        2,
        1,
        2,
        3,
    ]


def test_the_grader_says_what_it_found(grader):
    info = metric_info({"a": "simple_str_match", "b": "set_equality"}, "json")
    problem = Problem("p", (), "?", extra={"metric_info": info, "answer": {"a": "x", "b": "[1]"}, "eval_context": {}})
    half, none = grader.grade(problem, ["Answer: {'a': 'X', 'b': '[2]'}", " "])
    assert (half.score, half.verdict, half.parts) == (0.5, "wrong", {"a": 1.0, "b": 0.0})
    assert half.extracted == "a: X; b: [2]"
    assert none.score == 0
    plain = grader.grade(Problem("q", (), "42"), ["Answer: 42", "41", ""])
    assert [grade.verdict for grade in plain] == ["right", "wrong", "no answer"]


def test_formulas_are_compared_as_mathematics(grader):
    gold = "x^2 + \\frac{1}{2}"
    problem = Problem(
        "p", (), gold, extra={"metric_info": metric_info({"a": "latex_expr_equality"}), "answer": {"a": gold}}
    )
    assert grader.score(problem, ["Answer: 0.5 + x^{2}", "Answer: x^2 + 2", "Answer: \\frac{"]) == [1, 0, 0]


def test_a_rule_that_is_not_scored_is_refused_and_never_zero(grader):
    info = metric_info({"a": "program_judge"})
    with pytest.raises(UsageError, match=r"`program_judge` runs the model's programs"):
        grader.grade(Problem("p", (), "?", extra={"metric_info": info, "answer": {"a": "1"}}), ["print(1)"])
    info = metric_info({"a": "exact_str_match"})
    for answer, named in (({"b": "1"}, "no field of its right answer"), ({"a": "1", "b": "2"}, "finds one field")):
        with pytest.raises(UsageError, match=named):
            grader.grade(Problem("p", (), "?", extra={"metric_info": info, "answer": answer}), ["1"])


def test_queries_become_problems(tmp_path):
    dataset = mega_bench(write_mega(tmp_path))
    problems = dataset.problems()
    assert [one.id for one in problems] == [f"mega_bench:{n}" for n in range(1, 7)]
    assert [one.cluster for one in problems] == ["lines"] * 3 + ["parts"] * 2 + ["tap"]
    assert [one.weight for one in problems] == [1 / 3] * 3 + [1 / 2] * 2 + [1.0]
    parts = problems[0].messages[0].parts
    assert [type(part) for part in parts] == [Text, Image, Text, Image, Text]
    assert parts[0].text == "Do lines.\nExample:"
    assert parts[2].text == "Answer: so"
    assert problems[3].gold == "{'a': 'New York', 'b': '[1, 2]'}"
    assert problems[5].gold.startswith("<point>0.3")
    notes = " ".join(dataset.notes())
    assert "6 queries of 3 tasks are scored" in notes
    for said in ("`gpt_4o_as_judge`: 1 queries of 1 tasks (poems)", "`program_judge`", "for their videos", "(films)"):
        assert said in notes
    assert [one.weight for one in mega_bench(tmp_path, limit=4).problems()] == [1 / 3] * 3 + [1.0]


def test_a_json_copy_is_the_same(tmp_path):
    write_mega(tmp_path)
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "core.json").write_text(json.dumps(mega_rows()))
    copy = mega_bench(tmp_path / "json", media=str(tmp_path))
    assert list(copy.problems()) == list(mega_bench(tmp_path).problems())


def test_examples_show_at_most_some_images(tmp_path):
    write_mega(tmp_path)
    assert {len(one.images) for one in mega_bench(tmp_path, example_images=0).problems()} == {1}


@pytest.mark.parametrize(("policy", "left"), [("skip", 5), ("replace", 6)])
def test_bad_images_are_counted(tmp_path, policy, left):
    write_mega(tmp_path)
    (tmp_path / "data" / "lines" / "2.png").write_bytes(b"no image")
    assert "cannot be decoded" in refused(lambda: mega_bench(tmp_path))
    dataset = mega_bench(tmp_path, on_bad_image=policy)
    assert len(dataset.problems()) == left
    assert dataset.notes()[-1].startswith("1 problems")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"answer": "{'Line': "}, "`answer` is"),
        ({"answer": "['Line']"}, "it is a dict written as Python or JSON has it"),
        ({"eval_context": "{'boxes': {1, 2}}"}, "it is a dict written as Python or JSON has it"),
        ({"answer": "{'Other': '1'}"}, "each field has a rule"),
        ({"answer": "{'Line': '1', 'Other': '2'}"}, "each field has a rule"),
        ({"metric_info": "__import__('os')"}, "`metric_info` is"),
        ({"query_text": "no place"}, "marks 0 places and `query_media` has 1 files"),
        ({"query_media": "['../../secret.png']"}, "leaves"),
        ({"query_media": "['./data/lines/none.png']"}, "does not exist"),
        ({"id": "1"}, "has the id `1` of"),
        ({"task_name": ""}, "`task_name` is ''"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path, change, named):
    rows = mega_rows()
    write_mega(tmp_path, rows)
    rows[1] |= change
    from hub_copies import write
    from suite_copies import MEGA

    write(tmp_path / "core" / "test-00000-of-00001.parquet", rows, MEGA)
    message = refused(lambda: mega_bench(tmp_path))
    assert "test-00000-of-00001.parquet, row 2" in message
    assert named in message


def test_a_copy_that_is_not_whole_is_named(tmp_path):
    (tmp_path / "core.json").write_text(json.dumps([{"id": "1", "task_name": "a"}]))
    assert "has no column `task_description`" in refused(lambda: mega_bench(tmp_path))
    (tmp_path / "core.json").write_text(json.dumps(mega_rows()[6:]))
    assert "no query of it can be scored" in refused(lambda: mega_bench(tmp_path))
    assert "does not exist" in refused(lambda: mega_bench(tmp_path / "nowhere"))


def test_a_recipe_grades_it_officially():
    registry = Registry.installed()
    if not any(one.name == "free" for one in registry.of_kind("answer style")):
        pytest.skip("the style `free` is not installed")
    chosen = registry.choose("dataset", {"use": "mega_bench", "path": "data"}, {"registry": registry}).config
    assert (chosen.grader.use, chosen.style.use) == ("mega_bench", "free")
