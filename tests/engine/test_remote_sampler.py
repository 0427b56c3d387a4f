"""A sampler that is not the policy, and misbehaves: seen, said, nothing trained on it, and the same command goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import ranks
from safetensors.torch import load_file
from tiny_runs import Home

from warmrl.api import Choice, ServiceError
from warmrl.domain.group import Group
from warmrl.engine import recipe_file
from warmrl.engine.checkpoints import find
from warmrl.engine.entries import Entries
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.samples import blocks
from warmrl.engine.sampling import Sampling, completion_seed
from warmrl.plugin import local
from warmrl.plugin.registry import Registry
from warmrl.testing.run import warmrl, write_recipe

PLUGIN = Path(__file__).parents[1] / "third_party" / "remote_sampler.py"


@pytest.fixture(scope="module", autouse=True)
def _trusted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMRL_CONFIG", str(tmp_path_factory.mktemp("config")))
        local.trust(PLUGIN)
        yield


def home(folder: Path, stage: dict[str, Any] | None = None, **sampler: Any) -> Home:
    """GRPO of three steps on random weights, in blocks of two prompts: two a rollout, two an evaluation of a kind."""
    folder.mkdir(exist_ok=True)
    rl = {"use": "grpo", "policy": "base", "steps": 3, "prompts_per_step": 3, "samples_per_prompt": 2, "max_tokens": 8,
          "learning_rate": 1e-2, "checkpoint_every": 1}  # fmt: skip
    file = write_recipe(
        folder, plugins=[str(PLUGIN)], model={"path": "pocket:random"}, stage={"rl": {**rl, **(stage or {})}},
        reward={"even": {"use": "even"}}, sampler={"use": "remote", "block_size": 2, **sampler},
        suite={"validation": {"use": "pocket_geometry", "split": "validation", "limit": 4}},
        eval={"metrics": ["accuracy", "entropy"], "samples": 2, "max_tokens": 8},
    )  # fmt: skip
    return Home(folder, file)


# Blocks that are sampled before the first rollout (the base is evaluated), and of each rollout.
EVALUATION, ROLLOUT = 4, 2


def kept(home: Home, name: str) -> list[dict[str, Any]]:
    """A journal of the stage in the store, finished or not."""
    (file,) = home.path.glob(f"store/*/{name}")
    return [json.loads(line) for line in file.read_text().splitlines()]


def numbers(home: Home) -> dict[str, torch.Tensor]:
    """What the base's evaluation keeps of each token."""
    entries = Entries(recipe_file.read(home.recipe), home.path / "store")
    found: dict[str, list[torch.Tensor]] = {}
    for block in (block for draws in entries.draws("base", "validation") for block in blocks(draws.folder)):
        for name, values in load_file(block.tokens()).items():
            found.setdefault(name, []).append(values)
    return {name: torch.cat(values) for name, values in found.items()}


def same_numbers(one: Home, two: Home) -> None:
    """Log-probabilities and entropies of the base's samples agree to 1e-5, whoever gave them."""
    found, expected = numbers(one), numbers(two)
    assert found.keys() == expected.keys() == {"lengths", "ids", "logprobs", "entropies"}
    assert max(float((value - expected[name]).abs().max()) for name, value in found.items()) <= 1e-5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = home(tmp_path_factory.mktemp("undisturbed"))
    found.run()
    return found


def test_it_gives_what_the_policys_own_sampler_gives(undisturbed: Home, tmp_path: Path) -> None:
    """Same completions, same entropies (which it does not tell), and what is logged of it: no gap, weights of 1."""
    own = home(tmp_path, use="transformers")
    own.run()
    assert kept(own, "ledger.jsonl") == kept(undisturbed, "ledger.jsonl")
    more = {"sampler_gap", "sampler_gap_max", "importance", "importance_capped"}
    assert any(row["groups_without_signal"] for row in kept(own, "metrics.jsonl")), "some are skipped, and have entropy"
    for theirs, row in zip(kept(own, "metrics.jsonl"), kept(undisturbed, "metrics.jsonl"), strict=True):
        assert row.keys() - theirs.keys() == more
        # What a server computes is not counted, and entropies that it does not tell are scored here.
        shared = [name for name in theirs if name != "stage" and not name.startswith("flops/")]
        assert [row[name] for name in shared] == pytest.approx([theirs[name] for name in shared], rel=1e-4, abs=1e-6)
        assert 0 < row["sampler_gap"] <= row["sampler_gap_max"] < 1e-5
        assert row["importance"] == pytest.approx(1.0, abs=1e-5) and row["importance_capped"] == 0
    same_numbers(own, undisturbed)


def test_its_agreement_is_a_finding(undisturbed: Home) -> None:
    (finding,) = json.loads((undisturbed.path / "run" / "report.json").read_text())["findings"]
    assert finding.startswith("Stage `rl`: log-probabilities of the sampler `remote` and the policy's differ by ")
    assert "after the first update, by" in finding


@pytest.mark.parametrize("importance", ["truncated", "sequence"])
def test_a_small_gap_is_weighed(importance: str, tmp_path: Path) -> None:
    found = home(tmp_path, {"importance": importance, "steps": 1, "importance_cap": 1.002}, noise=5e-4)
    found.run()
    (row,) = kept(found, "metrics.jsonl")
    assert row["sampler_gap"] == pytest.approx(5e-4, rel=1e-2)
    if importance == "truncated":
        assert row["importance"] == pytest.approx(1.0005, abs=1e-5) and row["importance_capped"] == 0
    else:
        assert 1.0005 < row["importance"] < 1.002 and 0 < row["importance_capped"] <= 1


def test_a_large_gap_stops_before_anything_is_trained(tmp_path: Path) -> None:
    found = home(tmp_path, {"steps": 1}, noise=2e-3)
    with pytest.raises(ServiceError, match=r"`rl`.*does not sample.*by 0.002 nats.*`sampler.max_gap` is 0.001") as stop:
        found.run()
    assert stop.value.exit_code == 1
    assert not kept(found, "metrics.jsonl")
    home(tmp_path, {"steps": 1}, noise=2e-3, max_gap=0.01).run()
    assert kept(found, "metrics.jsonl")[0]["sampler_gap"] == pytest.approx(2e-3, rel=1e-2)


def test_weights_that_are_not_taken_are_seen_after_the_first_update(undisturbed: Home, tmp_path: Path) -> None:
    found = home(tmp_path, fault="stale")
    with pytest.raises(ServiceError, match=r"before the first update it was.*ends at step 1; the same command goes on"):
        found.run()
    assert len(kept(found, "ledger.jsonl")) == 1
    goes_on(tmp_path, undisturbed)


def goes_on(folder: Path, undisturbed: Home) -> None:
    """The same command, and nothing amiss this time: as if nothing had been."""
    found = home(folder)
    found.run()
    assert found.digests() == undisturbed.digests()


def test_dead_in_the_middle(undisturbed: Home, tmp_path: Path) -> None:
    """In the second block of the second rollout: what was learnt is kept."""
    found = home(tmp_path, {"checkpoint_every": 100}, fault="dead", after=EVALUATION + ROLLOUT + 1)
    with pytest.raises(ServiceError, match=r"closed the connection. Stage `rl` ends at step 1") as stop:
        found.run()
    assert stop.value.exit_code == 1
    assert [one.name for one in found.checkpoints()] == ["step-000001"]
    goes_on(tmp_path, undisturbed)


def test_dead_in_an_evaluation(undisturbed: Home, tmp_path: Path) -> None:
    found = home(tmp_path, fault="dead", after=1)
    with pytest.raises(ServiceError, match="Finished blocks of the evaluation are kept"):
        found.run()
    assert len(list(tmp_path.glob("store/*/block-*.jsonl"))) == 1
    goes_on(tmp_path, undisturbed)


def test_one_without_log_probabilities_evaluates_and_does_not_train(tmp_path: Path, undisturbed: Home) -> None:
    found = home(tmp_path, tells=[])
    with pytest.raises(ServiceError, match="gives no log-probabilities"):
        found.run()
    assert not kept(found, "metrics.jsonl")
    same_numbers(found, undisturbed)


FAULTS = {
    "dead": "closed the connection",
    "late": "no answer within 0.05 s",
    "count": r"gave \[1, 2\] completions .* and \[2, 2\] were asked for",
    "empty": "of 0 tokens, and 1 to 8 were asked for",
    "long": "tokens, and 1 to 8 were asked for",
    "uneven": r"of \d tokens with \d log-probabilities",
    "nan": "log-probabilities are not all finite numbers below zero",
    "positive": "log-probabilities are not all finite numbers below zero",
    "aborted": "finished by `abort`",
    "vision": "stands for vision input",
    "foreign": "none of the policy's",
}


@pytest.fixture(scope="module")
def sampled() -> tuple[Registry, Policy, Any]:
    registry = Registry.installed([local.load(PLUGIN)])
    policy = Policy.load(find("pocket:random", None, registry), trained=False)
    dataset = registry.get("dataset", "pocket_geometry")
    return registry, policy, dataset.load()(dataset.config(limit=4)).problems()


@pytest.mark.parametrize("fault", FAULTS)
def test_nonsense_is_refused(fault: str, sampled: tuple[Registry, Policy, Any]) -> None:
    """In the second block; no group gets a completion."""
    registry, policy, problems = sampled
    config = registry.get("sampler", "remote").config(fault=fault, after=1, block_size=2)
    sampling = Sampling(Choice(kind="sampler", use="remote", config=config), registry, Processes())
    groups = [Group(problem, []) for problem in problems]
    with pytest.raises(ServiceError, match=FAULTS[fault]):
        sampling.groups(policy, groups, 2, completion_seed("it"), max_tokens=8)
    assert not any(group.completions for group in groups)
    torch.testing.assert_close(policy.packed.head_weight, sampling.sampler.own.packed.head_weight)


@pytest.mark.slow
@pytest.mark.timeout(800)
def test_two_processes_of_which_one_meets_the_error(tmp_path: Path, undisturbed: Home) -> None:
    """In an evaluation, then in a rollout: both end, with the sentence, and the same command goes on."""

    def command(**fault: Any) -> list[str]:
        return ["run", str(home(tmp_path, **fault).recipe), "--out", "run"]

    # Of the process's two blocks of the evaluation it makes one; what is then missing is the first process's, and it
    # makes its block of the first rollout.
    first = command(fault="dead", rank=1, after=1)
    launched = warmrl(*first, "--processes", "2", folder=tmp_path, seconds=250)
    then = ranks(2, *command(fault="dead", rank=1, after=1), folder=tmp_path)
    for ended, sentence in ((launched, "Finished blocks"), (then[1], "ends at step 1")):
        assert ended.code == 1
        assert sentence in " ".join(ended.err.split()) and "Traceback" not in ended.err
    assert then[0].code == 1
    for last in ranks(2, *command(), folder=tmp_path):
        last.assert_success()
    found, alone = (
        [json.loads(line) for line in (folder / "run" / "ledger.jsonl").read_text().splitlines()]
        for folder in (tmp_path, undisturbed.path)
    )
    assert [row["step"] for row in found] == [1, 2, 3]
    assert [[one for one, _ in row["samples"]] for row in found] == [
        [one for one, _ in row["samples"]] for row in alone
    ]
    assert found[0] == alone[0], "later samples are of weights that differ by rounding"
