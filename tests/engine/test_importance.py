"""Importance weights in closed form."""

import pytest
import torch

from warmrl.engine.importance import importance_weights

OLD = torch.tensor([-1.0, -2.0, -0.5, -3.0, -0.1])
LENGTHS = (2, 3)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_where_the_samplers_agree_nothing_is_weighed(lengths):
    assert importance_weights(OLD, OLD, cap=2.0, lengths=lengths).tolist() == [1.0] * 5


def test_a_token_for_itself():
    ratio = torch.tensor([0.5, 1.5, 2.0, 4.0, 1e-3])
    found = importance_weights(OLD, OLD - ratio.log(), cap=2.0)
    torch.testing.assert_close(found, torch.tensor([0.5, 1.5, 2.0, 2.0, 1e-3]))


def test_the_product_over_a_completion():
    """Of ratios 0.5 and 1.5 the one, of 2, 4 and 1/16 the other; and of the last alone over the cap."""
    ratio = torch.tensor([0.5, 1.5, 2.0, 4.0, 1 / 16])
    found = importance_weights(OLD, OLD - ratio.log(), cap=2.0, lengths=LENGTHS)
    torch.testing.assert_close(found, torch.tensor([0.75, 0.75, 0.5, 0.5, 0.5]))
    capped = importance_weights(OLD, OLD - ratio.log(), cap=2.0, lengths=(1, 1, 2, 1))
    torch.testing.assert_close(capped, torch.tensor([0.5, 1.5, 2.0, 2.0, 1 / 16]))


def test_they_are_held_constant_and_finite():
    old = OLD.clone().requires_grad_()
    found = importance_weights(old, OLD + torch.tensor([1e4, -1e4, 0.0, 0.0, 0.0]), cap=2.0, lengths=None)
    assert not found.requires_grad
    assert found.tolist() == pytest.approx([2.0611536e-09, 2.0, 1.0, 1.0, 1.0])
