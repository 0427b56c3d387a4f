"""Canned rollouts: the same for everyone, of the lengths that their names say."""

from statistics import fmean

import pytest

from bench.workloads import ALONE, LONG, PAIRS, TEXT, W1, W2, W3, Vocabulary, canned, lengths

WORDS = Vocabulary(first=9, last=100, end=1, around_image=5, around_text=2, pixels=16)


def test_lengths_do_not_depend_on_anything_but_the_seed():
    assert lengths(W1, 4, 0) == lengths(W1, 4, 0)
    assert lengths(W1, 4, 0) != lengths(W1, 4, 1)
    assert sorted(lengths(W1, 4, 0)) == sorted(lengths(W1, 4, 1))


@pytest.mark.parametrize("workload", [W1, W2, W3, TEXT, LONG, ALONE, PAIRS], ids=lambda w: w.name)
@pytest.mark.parametrize("scale", [1, 4])
def test_lengths_are_as_stated(workload, scale):
    """The mean within a few per cent (a lognormal of few quantiles, cut at the cap, is a little short of it)."""
    found = lengths(workload, scale, 0)
    assert len(found) == workload.groups * workload.answers
    assert max(found) <= workload.cap / scale
    assert fmean(found) == pytest.approx(workload.mean / scale, rel=0.07)


def test_rollouts_are_the_same_twice():
    one, two = canned(W1, WORDS, 4), canned(W1, WORDS, 4)
    assert (one.answers, one.rewards, one.prompt) == (two.answers, two.rewards, two.prompt)
    assert one.problems[0].messages == two.problems[0].messages
    assert one.problems[0].images[0].load().tobytes() == two.problems[0].images[0].load().tobytes()
    assert one.problems[0].images[0].load().tobytes() != one.problems[1].images[0].load().tobytes()
    assert one.unique == 2 * one.prompt + sum(len(a) - 1 for group in one.answers for a in group)
    assert all(answer[-1] == WORDS.end and WORDS.end not in answer[:-1] for group in one.answers for answer in group)


def test_too_small_a_scale_is_refused():
    with pytest.raises(ValueError, match="leaves no room for text"):
        canned(W1, WORDS, 100)
