"""Every family against its own forward pass, one test a line of `docs/models.md`; what is refused, and the page."""

from pathlib import Path

import model_checks
import pytest
from model_checks import REFUSED, SHARED, UNSHARED
from tiny_models import VISION, tiny_model

from warmrl.packed.families import FAMILIES
from warmrl.packed.policy import PackedPolicy

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
SUBJECTS = [*SHARED, *UNSHARED, *REFUSED]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_what_is_found_is_on_the_page(subject):
    """Write it again with `python tests/model_checks.py > docs/models.md`."""
    found = model_checks.row(subject)
    assert found in PAGE.read_text().splitlines()
    assert found.count(" exact ") == (0 if subject in REFUSED else len(model_checks.checks_of(subject)))
    assert ("is not supported" in found) == (subject in REFUSED)


def test_the_page_has_nothing_else():
    text = PAGE.read_text()
    lines = text.splitlines()
    assert text == model_checks.page(lambda subject: next(x for x in lines if x.startswith(f"| {subject.name} |")))


def test_every_known_family_is_checked():
    assert {subject.name for subject in [*SHARED, *UNSHARED]} >= FAMILIES.keys()


@pytest.mark.parametrize("name", [*VISION, "qwen3_5"])
def test_the_parts_hold_every_parameter_once(name):
    policy = PackedPolicy(tiny_model(name))
    parts = (*policy.family.vision, *policy.family.projector, policy.family.language_model)
    held = [id(p) for part in parts for p in policy.base.get_submodule(part).parameters()]
    assert len(held) == len(set(held))
    assert {*held, id(policy.head_weight)} == {id(p) for p in policy.parameters()}


def test_a_mutant_is_seen():
    """Shared rows under a sliding window are far from exact, so the checks can fail."""
    (subject,) = (one for one in UNSHARED if one.name == "mistral, sliding window")
    policy = PackedPolicy(subject.build())
    policy.base.config.sliding_window = None
    assert PackedPolicy(policy.base).share
    expected = model_checks.stock(subject.build(), groups := model_checks.groups_for("llama", ((0, 3),), top=50))
    found = model_checks.run(policy.base, groups, share=True)
    assert model_checks.furthest(found[0], expected[0]) > 1000 * model_checks.TOLERANCE
