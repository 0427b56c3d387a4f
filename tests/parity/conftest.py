"""Each module of these tests begins and ends without accelerate's process-wide state (device, precision)."""

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_behind():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
