"""In bfloat16 the packed path is no farther from the float32 answer than TRL's trainer is."""

import pytest

from bench.bf16 import bf16
from bench.cases import Settings
from bench.shapes import SHAPES


@pytest.mark.slow
def test_no_farther_than_trl():
    """Log-probabilities and gradients on W1's canned groups at an eighth of its lengths."""
    for figure in bf16(Settings(SHAPES["small"], 8.0, repeats=1)).figures:
        print(figure)
        assert figure.reached(), figure
