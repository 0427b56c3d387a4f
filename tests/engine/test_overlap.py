"""Overlaps of training data and suites: planted ones are found, and what only looks alike is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from planted_overlaps import drawing, encoded, photo, planted, problem, question, resized

from warmrl.domain.problem import Image, Problem
from warmrl.engine.image_match import BITS, copies, near, thumbnail
from warmrl.engine.overlap import Overlap, overlap
from warmrl.plugin.registry import Registry


def pocket(use: str, split: str, size: int) -> list[Problem]:
    registry = Registry.installed()
    table = {"use": use, "split": split, "size": size}
    return list(registry.instance(registry.choose("dataset", table, {"registry": registry})).problems())


def asked(found: Overlap) -> list[tuple[str, str, str]]:
    return [(one.problem, one.kind, one.training) for one in found.matches]


def figure(name: str, text: str, seed: int) -> Problem:
    return problem(name, text, drawing(seed))


def words(text: str, name: str) -> Problem:
    return problem(name, text, None)


@pytest.mark.parametrize("make", [photo, drawing])
def test_planted_overlaps_are_found_and_no_others(make: Callable[[int], PILImage.Image]) -> None:
    suite = [problem(f"s{i}", question(i), make(i)) for i in range(60)]
    training = [problem(f"t{i}", question(i + 1000), make(i + 1000)) for i in range(60)]
    copied = planted(suite)
    found = overlap([*training, *copied.values()], suite)
    assert set(found.ids) == set(copied)
    assert {one.training for one in found.matches} == {one.id for one in copied.values()}
    assert found.counts == {"text": 7, "ngram": 0, "image": 16}
    assert found.ids == tuple(one.id for one in suite if one.id in copied)
    assert overlap([*training, *copied.values()], suite) == found
    assert json.loads(json.dumps(found.as_json()))["overlapping"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("use", ["pocket_geometry", "pocket_charts"])
def test_figures_of_other_splits_are_no_overlap(use: str) -> None:
    """Some labels are those of another kind of problem in the same figure; every other pair of figures differs."""
    suite, training = pocket(use, "validation", 300), pocket(use, "train", 3000)
    copied = planted(suite)
    found = overlap([*training, *copied.values()], suite)
    pictured = {one.problem for one in found.matches if one.kind == "image"} & copied.keys()
    assert len(pictured) == 16, "the pocket's questions are templates: of the other four only the text is the same"
    clusters = {one.id: one.cluster for one in (*suite, *training)}
    for one in found.matches:
        if one.problem not in copied:
            assert clusters[one.problem].partition(":")[2] == clusters[one.training].partition(":")[2]
    assert len(found.ids) <= 22


def test_another_label_in_the_same_drawing_is_another_picture() -> None:
    pairs = [(drawing(i, 12, shape=i), drawing(i, 87, shape=i)) for i in range(12)]
    assert not any(copies(*pair) for pair in pairs)
    for first, _ in pairs:
        for again in (encoded(first, 30), encoded(first, 90), resized(first, 0.5), resized(first, 2.0)):
            assert copies(first, again)


def test_a_few_digits_on_white_are_told_apart() -> None:
    def page(text: str) -> PILImage.Image:
        picture = PILImage.new("RGB", (224, 224), "white")
        ImageDraw.Draw(picture).text((20, 20), text, fill="black", font=ImageFont.load_default(16))
        return picture

    suite = [problem(f"s{i}", question(i), page(str(100 + i))) for i in range(12)]
    training = [problem(f"t{i}", question(i + 50), page(str(150 + i))) for i in range(12)]
    assert overlap(training, suite).matches == ()
    again = problem("again", "?", resized(page("104"), 0.7))
    assert asked(overlap([*training, again], suite)) == [("s4", "image", "again")]


def test_hashes_of_copies_are_near() -> None:
    for make in (photo, drawing):
        for seed in range(10):
            first = make(seed)
            bits = thumbnail(Image("a", lambda first=first: first)).bits
            for again in (encoded(first, 30), resized(first, 0.5), resized(first, 2.0)):
                other = thumbnail(Image("b", lambda again=again: again)).bits
                assert int((bits != other).sum()) <= BITS


def test_a_candidate_is_one_within_the_distance_of_hashes() -> None:
    shown = [thumbnail(Image(str(i), lambda i=i: photo(i))) for i in range(40)]
    for i, found in enumerate(near(shown, shown)):
        assert found[0] == i
        for other in found:
            assert int((shown[i].bits != shown[other].bits).sum()) <= BITS


def test_a_template_beside_many_pictures_is_no_overlap() -> None:
    suite = [figure(f"s{i}", "Find x.", i) for i in range(6)]
    training = [figure(f"t{i}", "find  X", i + 10) for i in range(6)]
    assert overlap(training, suite).matches == ()
    assert overlap(training[:1], suite).matches == ()
    assert overlap(training, suite[:1]).matches == ()


def test_a_short_text_that_differs_in_labels_alone_is_no_overlap() -> None:
    suite = [figure("s0", "Find AB.", 0), figure("s1", "Find CD.", 1)]
    training = [figure("t0", "Find AB.", 10), figure("t1", "Find EF.", 11)]
    assert overlap(training, suite).matches == ()
    long = "In the park three dogs of Ann run 12 miles"
    assert asked(overlap([*training, figure("t2", long, 12)], [*suite, figure("s2", long.upper() + "?", 2)])) == [
        ("s2", "text", "t2")
    ]


def test_texts_without_pictures_count_whenever_they_are_equal() -> None:
    training = [words("What is 2 + 3.5?", "t0"), words("What is 2 - 3.5?", "t1"), words("what  is 2 + 3.5", "t2")]
    assert asked(overlap(training, [words("WHAT is 2+3.5", "s0"), words("What is 2 + 35?", "s1")])) == [
        ("s0", "text", "t0")
    ]


STORY = "A farmer drives {} sheep across the old stone bridge and sells nine of them at the market before noon today"


def test_thirteen_words_in_a_row() -> None:
    suite = [words(STORY.format(40), "s0"), words(" ".join(STORY.format(40).split()[:12]), "s1")]
    found = overlap([words("Once more. " + STORY.format(40) + " How many remain?", "t0")], suite)
    assert asked(found) == [("s0", "ngram", "t0")]
    assert found.counts == {"text": 0, "ngram": 1, "image": 0}


def test_instructions_and_templates_with_numbers_are_no_overlap() -> None:
    hint = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end. "
    suite = [words(hint + f"Which {i} is {question(i)[:20]}", f"s{i}") for i in range(15)]
    training = [words(hint + f"Where {i} was {question(i + 99)[:20]}", f"t{i}") for i in range(15)]
    assert overlap(training, suite).matches == ()
    suite = [words(STORY.format(i) + f" {i}", f"s{i}") for i in range(30)]
    training = [words(STORY.format(i) + f" and {i + 1}", f"t{i}") for i in range(30)]
    assert overlap(training, suite).matches == ()


def test_blank_pictures_are_no_overlap() -> None:
    grey = PILImage.new("RGB", (224, 224), (128, 128, 128))
    suite = [problem("s0", question(0), grey, "grey")]
    assert overlap([problem("t0", question(1), grey, "grey")], suite).matches == ()


def test_a_cache_is_used_and_a_broken_one_is_made_again(tmp_path: Path) -> None:
    loads: list[str] = []

    def counted(name: str, seed: int) -> Problem:
        one = problem(name, question(seed), None)
        picture = Image(name, lambda: loads.append(name) or photo(seed))
        return replace(one, messages=(replace(one.messages[0], parts=(picture, *one.messages[0].parts)),))

    suite, training = [counted("s0", 0)], [counted("t0", 1), counted("t1", 2)]
    file = tmp_path / "folder" / "thumbnails.json"
    first = overlap(training, suite, file)
    assert sorted(loads) == ["s0", "t0", "t1"]
    assert overlap(training, suite, file) == first
    assert len(loads) == 3
    for broken in ("{", "[1]", '{"s0": 3}', '{"s0": [1, 2, "aaaa"]}'):
        file.write_text(broken)
        assert overlap(training, suite, file) == first
    assert len(loads) == 15


def test_nothing_to_compare() -> None:
    assert overlap([], [figure("s0", "Find x.", 0)]).matches == ()
    assert overlap([figure("t0", "Find x.", 0)], []).ids == ()
    assert near([], []) == []
    assert not copies(photo(1), PILImage.fromarray(np.zeros((180, 240, 3), np.uint8)))
