"""The contracts on the built-ins that have no test file of their own for them: metrics and the pocket's datasets."""

from typing import ClassVar

import pytest
from warmrl_metrics import METRICS

from warmrl.testing import DatasetContract, MetricContract


@pytest.mark.parametrize("metric", METRICS)
class TestMetrics(MetricContract):
    plugin = "warmrl_metrics"
    name = ""

    @pytest.fixture(autouse=True)
    def named(self, metric):
        self.name = metric


class TestPocketGeometry(DatasetContract):
    plugin = "warmrl_pocket"
    name = "pocket_geometry"
    settings: ClassVar = {"size": 24}


class TestPocketMixed(DatasetContract):
    plugin = "warmrl_pocket"
    name = "pocket_mixed"
    settings: ClassVar = {"size": 24}


class TestPocketCharts(DatasetContract):
    plugin = "warmrl_pocket"
    name = "pocket_charts"
    settings: ClassVar = {"size": 24, "split": "test"}
