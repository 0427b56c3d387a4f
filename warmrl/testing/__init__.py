"""The conformance kit: one contract class per plugin kind. Subclass it in a test file and say what you have.

    from warmrl.testing import RewardContract

    class TestShort(RewardContract):
        plugin = "warmrl_example"
        name = "short"
        right = ("4",)
        wrong = ("4" * 100,)

pytest then runs every test of the contract on it. The built-ins pass the same classes.
"""

import pytest

pytest.register_assert_rewrite(*(f"warmrl.testing.{name}" for name in (
    "answer_style", "dataset", "metric", "plugin", "reward", "sampler", "stage", "teacher",
)))  # fmt: skip

from warmrl.testing.answer_style import AnswerStyleContract  # noqa: E402
from warmrl.testing.dataset import DatasetContract  # noqa: E402
from warmrl.testing.hostile import hostile_texts  # noqa: E402
from warmrl.testing.metric import MetricContract  # noqa: E402
from warmrl.testing.reward import PlainStyle, RewardContract  # noqa: E402
from warmrl.testing.run import Outcome, warmrl  # noqa: E402
from warmrl.testing.sampler import SamplerContract  # noqa: E402
from warmrl.testing.stage import CuratorContract, RLAlgorithmContract, WarmStartContract  # noqa: E402
from warmrl.testing.teacher import TeacherContract  # noqa: E402

__all__ = [
    "AnswerStyleContract",
    "CuratorContract",
    "DatasetContract",
    "MetricContract",
    "Outcome",
    "PlainStyle",
    "RLAlgorithmContract",
    "RewardContract",
    "SamplerContract",
    "TeacherContract",
    "WarmStartContract",
    "hostile_texts",
    "warmrl",
]
