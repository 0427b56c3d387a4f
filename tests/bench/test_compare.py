"""The gate refuses contenders that compute something else; what is counted is what was kept; the command's outputs."""

import json
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from bench import cases
from bench.__main__ import app
from bench.compare import Case, Cost, Figure, compare
from bench.measure import peak_bytes, saved
from bench.parity import Disagreement


class Linear:
    """A contender of one layer whose weight's gradient is `scale` times what it should be."""

    about, checkpointing = "", False
    rollouts = SimpleNamespace(rollouts=2, trained=6)

    def __init__(self, name, scale=1.0, bias=True):
        torch.manual_seed(0)
        self.name, self.scale = name, scale
        self.model = self.decoder = torch.nn.Linear(4, 3, bias=bias)
        self.input = torch.randn(5, 4)

    def update(self):
        self.model.zero_grad()
        loss = self.model(self.input).square().sum()
        loss.backward()
        self.model.weight.grad *= self.scale
        return float(loss.detach())


def compared(*contenders):
    return compare(Case("case", ""), contenders, unique=1, least=1, repeats=1)


def test_equals_are_compared():
    case = compared(Linear("a"), Linear("b"))
    assert [cost.gap for cost in case.costs] == [0.0, 0.0]
    assert all(len(cost.seconds) == 1 and cost.flops == 2 * 2 * 5 * 4 * 3 for cost in case.costs)


@pytest.mark.parametrize(
    "mutant", [Linear("mutant", scale=1.0001), Linear("mutant", bias=False)], ids=["scale", "lacks"]
)
def test_a_mutant_is_refused(mutant):
    with pytest.raises(Disagreement, match=r"no number is printed|gradients of other parameters"):
        compared(Linear("a"), mutant)


def test_saved_bytes_are_those_kept_each_once_without_weights():
    weight = torch.nn.Parameter(torch.randn(4, 4))
    model = torch.nn.Module()
    model.weight = weight
    x = torch.randn(100, 4, requires_grad=True)
    for _ in range(2):
        with saved(model) as counted:
            y = (x @ weight).exp()  # keeps x (and the weight), then its own result
            (y * y).sum().backward()  # keeps y twice, which it holds already
            assert counted.now == 0
        assert (counted.total, counted.most) == (2 * 1600, 2 * 1600)


def test_peak_memory_sees_a_temporary():
    found = peak_bytes(lambda: torch.ones(32 * 2**20).sum(), "cpu")
    assert found is None or 0.9 * 2**27 < found < 1.5 * 2**27


def run(monkeypatch, tmp_path, figure, *flags):
    case = Case("fast", "nothing", [Cost("warmrl", "", 0.0, 10, 20, 20, 1.0, 0.9, [2.0, 1.0], 30, 4, 8)], [figure])
    monkeypatch.setitem(cases.CASES, "fast", lambda _settings: case)
    out = tmp_path / "out.json"
    done = CliRunner().invoke(app, ["--only", "fast", "--json", str(out), *flags])
    return done, out


def test_json_has_everything(monkeypatch, tmp_path):
    done, out = run(monkeypatch, tmp_path, Figure("ratio", 3.5, 3.0))
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert {"python", "torch", "transformers", "trl", "threads"} <= found["environment"].keys()
    (case,) = found["cases"]
    assert case["figures"] == [{"name": "ratio", "value": 3.5, "asked": 3.0, "sense": "at least", "kind": "count"}]
    assert case["costs"][0]["seconds"] == [2.0, 1.0]
    assert {"name", "flops", "saved", "peak", "tokens", "least", "gap", "rollouts", "trained"} <= case["costs"][
        0
    ].keys()


@pytest.mark.parametrize(
    ("figure", "code"),
    [
        (Figure("count", 2.9, 3.0), 1),
        (Figure("count", 3.0, 3.0), 0),
        (Figure("loose", 2.0, 3.0, kind="time"), 0),
        (Figure("too slow", 1.5, 3.0, kind="time"), 1),
        (Figure("memory", 0.21, 0.2, "at most"), 1),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_gate(monkeypatch, tmp_path, figure, code):
    done, _ = run(monkeypatch, tmp_path, figure, "--gate")
    assert done.exit_code == code, done.output


def test_unknown_cases_are_named(monkeypatch, tmp_path):
    done = CliRunner().invoke(app, ["--only", "nothing"])
    assert done.exit_code == 2
    assert "w1" in done.output
