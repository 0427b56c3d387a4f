"""The sampler beside the policy: what is compared, when, and what is said where they differ; entropies filled."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from parity.subjects import canned_groups, load_policy, write_checkpoint

from warmrl.api import Request, SamplerConfig, ServiceError
from warmrl.domain.group import Group
from warmrl.engine.agreement import COMPLETIONS, PROMPTS, TOKENS, Agreement, Gap, compared
from warmrl.engine.passes import fill
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.plugin.registry import Registry


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return load_policy(write_checkpoint(tmp_path_factory.mktemp("agreement") / "policy", seed=1))


def groups_of(policy: Policy, *, images: float = 0.0, text: float = 0.0) -> list[Group]:
    """Canned groups with the policy's own log-probabilities, off by so much with images in the prompt and without."""
    groups = canned_groups(policy)
    fill(policy, groups)
    for group in groups:
        for one in group.completions:
            one.logprobs = tuple(value - (images if group.problem.images else text) for value in one.logprobs or ())
    return groups


def agreement(policy: Policy, **config: Any) -> Agreement:
    sampling = SimpleNamespace(shares_weights=False, choice=SimpleNamespace(use="it"), config=SamplerConfig(**config))
    stage = SimpleNamespace(
        name="rl", config=SimpleNamespace(), policy=policy, processes=Processes(), sampling=sampling, findings=[],
        say=lambda _sentence: None,
    )  # fmt: skip
    return Agreement(stage)  # type: ignore[arg-type]


def test_it_is_tested_first_and_after_the_first_update(policy: Policy) -> None:
    found, groups = agreement(policy), groups_of(policy)
    found.carry(groups)
    found.carry(groups_of(policy, text=9.0))  # nothing was trained in between
    assert len(found.tested) == 1 and found.tested[0].mean < 1e-6
    row = SimpleNamespace(columns={"sampler_logprob": torch.tensor([-1.0, -2.0])})
    found.add(row, torch.tensor([-1.5, -2.0]))  # type: ignore[arg-type]
    assert found.taken(groups) == {"sampler_gap": 0.25, "sampler_gap_max": 0.5}
    assert found.taken(groups) == {}
    with pytest.raises(ServiceError, match=r"before the first update it was .*, so new weights or caches may not be"):
        found.carry(groups_of(policy, images=0.01, text=0.01))
    found.carry(groups)
    (finding,) = found.stage.findings
    assert "; after the first update, by" in finding
    found.carry(groups_of(policy, text=9.0))  # from here on it is only logged


def test_with_several_updates_the_old_policy_counts(policy: Policy) -> None:
    found = agreement(policy)
    columns = {"sampler_logprob": torch.tensor([-1.0]), "old_logprob": torch.tensor([-1.25])}
    found.add(SimpleNamespace(columns=columns), torch.tensor([-7.0]))  # type: ignore[arg-type]
    assert found.gap == Gap(1, 0.25, 0.25)


def test_images_alone_are_told_apart(policy: Policy) -> None:
    with pytest.raises(ServiceError, match=r"only prompts with images are off \(0.02, .* expanded twice"):
        agreement(policy).carry(groups_of(policy, images=0.02))
    with pytest.raises(ServiceError, match="only prompts with images are off"):  # however many have none
        agreement(policy, max_gap=0.019).carry(groups_of(policy, images=0.02))
    with pytest.raises(ServiceError, match="weights are not the policy's, or it computes in another precision"):
        agreement(policy).carry(groups_of(policy, images=0.02, text=0.02))


def test_the_limit_is_the_recipes_or_the_precisions(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = groups_of(policy, images=0.02, text=0.02)
    agreement(policy, max_gap=0.021).carry(groups)
    with pytest.raises(ServiceError, match=r"`sampler.max_gap` is 0.019"):
        agreement(policy, max_gap=0.019).carry(groups)
    monkeypatch.setattr(policy, "compute", torch.bfloat16)
    agreement(policy).carry(groups)


def test_a_gap_that_is_no_number_is_none_that_is_small(policy: Policy) -> None:
    with pytest.raises(ServiceError, match="does not sample from the policy"):
        agreement(policy).carry(groups_of(policy, text=float("nan")))


def test_what_is_compared_is_bounded(policy: Policy) -> None:
    groups = groups_of(policy)
    many = [replace(group, completions=(group.completions * 4)) for group in groups * 6]
    shown, text = compared(policy, many, Processes())
    lengths = [[min(len(one.tokens), TOKENS) for one in group.completions[:COMPLETIONS]] for group in many]
    seen = [bool(group.problem.images) for group in many]
    for found, sort in ((shown, True), (text, False)):
        chosen = [sum(ones) for ones, has in zip(lengths, seen, strict=True) if has is sort][:PROMPTS]
        assert found.tokens == sum(chosen)
    assert all("policy" not in one.signals for group in many for one in group.completions)


def test_filled_entropies_are_the_samplers_own(policy: Policy) -> None:
    """The same estimator: the exact entropy of each distribution that was sampled from."""
    registration = Registry.installed().get("sampler", "transformers")
    sampler = registration.load()(registration.config(), Processes())
    sampler.sync(policy)
    groups = canned_groups(policy)
    requests = [Request(group.views[0], (1, 2, 3), 20) for group in groups]
    for group, drawn in zip(groups, sampler.sample(requests), strict=True):
        group.completions = drawn
    bare = [replace(g, completions=[replace(c, logprobs=None, entropies=None) for c in g.completions]) for g in groups]
    fill(policy, bare)
    worst = 0.0
    for group, other in zip(groups, bare, strict=True):
        for one, two in zip(group.completions, other.completions, strict=True):
            for name in ("logprobs", "entropies"):
                gap = torch.tensor(getattr(one, name)) - torch.tensor(getattr(two, name))
                worst = max(worst, float(gap.abs().max()))
    print(f"largest difference {worst:.1e}")
    assert worst <= 1e-5
