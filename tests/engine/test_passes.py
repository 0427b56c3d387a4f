"""Scoring passes against the stock model in float64: which tokens, at which temperature, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from parity.subjects import canned_groups, load_policy, write_checkpoint
from transformers import AutoModelForImageTextToText

from warmrl.domain.group import Completion, Group
from warmrl.engine.passes import EXTRAS, fill, measures_of, scored
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes

T = 0.7


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return load_policy(write_checkpoint(tmp_path_factory.mktemp("passes") / "policy", seed=1))


@pytest.fixture(scope="module")
def filled(policy: Policy) -> list[Group]:
    groups = canned_groups(policy)
    fill(policy, groups, extras=EXTRAS, temperature=T)
    return groups


def completions(groups: list[Group]) -> list[Completion]:
    return [one for group in groups for one in group.completions]


def numbers(one: Completion) -> torch.Tensor:
    """`[C, 4]` log-probability, entropy, entropy at T and nucleus of each token."""
    signals = one.signals
    return torch.tensor([one.logprobs, one.entropies, signals["entropy_sampling"], signals["nucleus"]]).double().t()


def table(groups: list[Group]) -> torch.Tensor:
    """Those of all tokens."""
    return torch.cat([numbers(one) for one in completions(groups)])


def test_they_are_the_stock_models(policy: Policy, filled: list[Group]) -> None:
    """Exactly the completion's tokens, the end-of-sequence token among them: no prompt, no image token."""
    stock: Any = AutoModelForImageTextToText.from_pretrained(policy.folder, dtype=torch.float64)
    for group in filled:
        prompt = policy.encode_prompt(group.problem.messages)
        pixels = {k: v.double() if v.is_floating_point() else v for k, v in prompt.pixels.items()}
        for one in group.completions:
            ids = torch.cat([prompt.ids, torch.tensor(one.tokens)])[None]
            with torch.no_grad():
                logits = stock(input_ids=ids, **pixels).logits[0, len(prompt.ids) - 1 : -1]
            log_p, cold = logits.log_softmax(1), (logits / T).log_softmax(1)
            ordered = log_p.exp().sort(1, descending=True).values
            sizes = [int((row.cumsum(0) < 0.95).sum()) + 1 for row in ordered]
            of_token = log_p[range(len(one.tokens)), list(one.tokens)]
            entropies = [-(x.exp() * x).sum(1) for x in (log_p, cold)]
            expected = torch.stack([of_token, *entropies, torch.tensor(sizes).double()], 1)
            assert numbers(one).shape == expected.shape
            assert float((numbers(one) - expected).abs().max()) <= 1e-5
            assert all(isinstance(size, int) for size in one.signals["nucleus"])


@pytest.mark.parametrize("budget", [1, 120])
def test_rows_of_another_size_change_nothing(policy: Policy, filled: list[Group], budget: int) -> None:
    groups = canned_groups(policy)
    fill(policy, groups, Processes(), budget, EXTRAS, T)
    found, expected = table(groups), table(filled)
    mean, worst = (found.mean(0) - expected.mean(0)).abs(), (found - expected).abs().amax(0)
    print(f"token means {mean.tolist()}, worst token {worst.tolist()}")
    assert float(mean.max()) <= 1e-6  # what a metric says
    assert float(worst[:3].max()) <= 5e-6  # a token: the rounding of the model's own float32
    assert float(worst[3]) == 0


def test_processes_share_the_work(policy: Policy, filled: list[Group]) -> None:
    """Each scores some of the completions, and together they have each once."""
    whole = [replace(g, completions=[replace(c, train=None) for c in g.completions]) for g in filled]
    measures = measures_of(EXTRAS, T)
    shares = [list(scored(policy, whole, 60, policy.autocast, 2, rank, measures)) for rank in range(2)]
    assert all(shares)
    found = {(group, answer): columns for group, answer, _, columns in shares[0] + shares[1]}
    assert len(found) == len(shares[0]) + len(shares[1]) == len(completions(filled))
    for (group, answer), columns in found.items():
        one = filled[group].completions[answer]
        assert columns["nucleus"] == list(one.signals["nucleus"])
        assert columns["entropy_sampling"] == pytest.approx(one.signals["entropy_sampling"], abs=5e-6)


def test_what_is_known_stays(policy: Policy, filled: list[Group]) -> None:
    """Extras are added to completions whose sampler told the rest, and nothing that is there is written again."""
    groups = canned_groups(policy)
    for one in completions(groups):
        one.logprobs = one.entropies = (-1.0,) * len(one.tokens)
        one.signals["nucleus"] = (7,) * len(one.tokens)
    fill(policy, groups, extras=EXTRAS, temperature=T)
    for one, other in zip(completions(groups), completions(filled), strict=True):
        assert set(one.logprobs or ()) == set(one.entropies or ()) == {-1.0}
        assert set(one.signals["nucleus"]) == {7}
        assert one.signals["entropy_sampling"] == other.signals["entropy_sampling"]
        assert one.signals["advantage"] == other.signals["advantage"]


def test_nothing_is_computed_twice(policy: Policy, filled: list[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_rows: Any, **_how: Any) -> Any:
        raise AssertionError("a pass")

    monkeypatch.setattr(policy.packed, "forward", forward)
    fill(policy, filled, extras=EXTRAS, temperature=T)
    fill(policy, filled)
    known = [replace(group, completions=[replace(c, signals={}) for c in group.completions]) for group in filled]
    fill(policy, known, extras={"entropy_sampling"})  # at temperature 1 it is the entropy
    assert all(one.signals == {"entropy_sampling": one.entropies} for one in completions(known))
    with pytest.raises(AssertionError, match="a pass"):
        fill(policy, known, extras={"nucleus"})


def test_without_extras_there_are_none(policy: Policy) -> None:
    groups = canned_groups(policy)
    fill(policy, groups)
    assert all(one.logprobs and one.entropies and set(one.signals) == {"advantage"} for one in completions(groups))


def test_a_completion_without_tokens_has_none(policy: Policy) -> None:
    (group, *_) = canned_groups(policy)
    group.completions = [Completion((), ""), Completion(group.completions[0].tokens, "")]
    fill(policy, [group], extras=EXTRAS, temperature=T)
    empty, other = group.completions
    assert empty.logprobs == empty.entropies == empty.signals["nucleus"] == empty.signals["entropy_sampling"] == ()
    assert len(other.signals["nucleus"]) == len(other.tokens)


def test_what_cannot_be_is_refused(policy: Policy) -> None:
    with pytest.raises(ValueError, match="no pass computes flow; there are: entropy_sampling, nucleus"):
        fill(policy, [], extras={"flow"})
    with pytest.raises(ValueError, match="not below 0"):
        fill(policy, [], temperature=-0.5)
