"""`warmrl eval` and `warmrl compare` on checkpoints that no recipe of ours made, on adapters, on files of samples."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from warmrl.cli.main import app
from warmrl.domain.errors import UsageError

SUITE = [
    "--suite", "pocket_charts", "--set", "suite.pocket_charts.split=validation", "--set", "suite.pocket_charts.limit=6",
    "--set", "answer={use='tags',instruction=''}", "--set", "eval.max_tokens=24", "--set", "eval.samples=2",
    "--set", "eval.bootstrap=400",
]  # fmt: skip
METRICS = ["--metric", "pass@2", "--metric", "diversity@2", "--metric", "entropy"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMRL_HOME", str(home / "runs"))


def warmrl(*arguments: str) -> dict:
    """A command's last line of JSON. Raises what it was refused with."""
    found = CliRunner().invoke(app, [*arguments, "--json"])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return json.loads(found.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def compared(home: Path) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMRL_HOME", str(home / "runs"))
        return warmrl(
            "compare", "pocket:base", "taught=pocket:teacher", *SUITE, *METRICS, "--power", "--difference", "5"
        )


def files(home: Path) -> dict[Path, float]:
    return {file: file.stat().st_mtime_ns for file in (home / "runs" / "store").rglob("*-*") if file.is_file()}


def test_two_checkpoints_are_compared_without_a_recipe(compared: dict, home: Path) -> None:
    assert compared["metrics"].keys() >= {"pocket:base/pocket_charts/pass@2", "taught/pocket_charts/entropy"}
    contrasts = {one["metric"]: one for one in compared["contrasts"]}
    assert contrasts.keys() == {"pass@2", "diversity@2", "entropy"}
    assert contrasts["entropy"]["difference"] < -0.1, "the teacher is surer of itself"
    assert all(one["detectable"] >= 0 and one["wanted"] == 0.05 for one in compared["power"])
    page = Path(compared["report"]).read_text()
    assert "taught" in page and len(page) > 100_000


def test_the_same_again_draws_nothing(compared: dict, home: Path) -> None:
    before = files(home)
    again = warmrl("compare", "pocket:base", "taught=pocket:teacher", *SUITE, *METRICS, "--power", "--difference", "5")
    assert again == compared and files(home) == before
    one = warmrl("eval", "pocket:teacher", *SUITE, "--metric", "pass@2")
    assert one["metrics"]["pocket:teacher/pocket_charts/pass@2"] == compared["metrics"]["taught/pocket_charts/pass@2"]
    assert files(home) == before


def test_k_beyond_the_samples_draws_more(compared: dict, home: Path) -> None:
    before = files(home)
    plain = [one for one in SUITE if one not in ("eval.samples=2",)]
    del plain[plain.index("eval.bootstrap=400") - 2]
    found = warmrl("eval", "pocket:teacher", *plain, "--metric", "pass@17")
    assert found["metrics"]["pocket:teacher/pocket_charts/pass@17"]["value"] <= 1.0
    assert files(home).items() >= before.items()


def test_a_file_of_samples_beside_a_checkpoint(compared: dict, home: Path) -> None:
    """Its own samples, taken out and scored as another tool's: the same numbers."""
    folder = Path(compared["report"]).parent / "evaluations" / "taught.pocket_charts"
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    file = home / "theirs.jsonl"
    kept = ("problem", "index", "completion", "finish", "tokens", "entropy", "surprisal")
    lines = [{key: row[key] for key in kept} | {"sampling": {"temperature": 1.0}} for row in rows]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = warmrl("eval", "--samples", str(file), *SUITE, *METRICS)
    ours = {name.split("/")[-1]: one for name, one in compared["metrics"].items() if name.startswith("taught")}
    assert {name.split("/")[-1]: one for name, one in found["metrics"].items()} == ours
    with pytest.raises(UsageError, match=r"max_tokens|chat_template"):
        warmrl("compare", "pocket:base", f"theirs={file}", *SUITE, *METRICS)
    forced = warmrl("compare", "pocket:base", f"theirs={file}", *SUITE, *METRICS, "--force")
    assert any("temperature" in one or "max_tokens" in one or "sampl" in one for one in forced["findings"])


def test_a_file_that_lacks_problems_is_no_match(compared: dict, home: Path) -> None:
    """Without the hardest problems everybody is better."""
    folder = Path(compared["report"]).parent / "evaluations" / "taught.pocket_charts"
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    lines = [
        {key: row[key] for key in ("problem", "index", "completion")} | {"sampling": {"temperature": 1.0}}
        for row in rows
    ]
    left_out = rows[0]["problem"]
    for name, kept in (("whole", lines), ("part", [line for line in lines if line["problem"] != left_out])):
        (home / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    files = [str(home / "whole.jsonl"), str(home / "part.jsonl")]
    with pytest.raises(UsageError, match=left_out):
        warmrl("compare", *files, *SUITE, "--metric", "pass@2")
    assert not (home / "runs" / "compare-whole_jsonl-part_jsonl").exists()
    assert warmrl("compare", *files, *SUITE, "--metric", "pass@2", "--force")["contrasts"][0]["n"] > 0
    with pytest.raises(UsageError, match="stands in it twice"):
        warmrl("compare", f"a={files[0]},{files[0]},{files[0]}", f"b={files[1]}", *SUITE)


def test_a_refusal_spoils_nothing(compared: dict, home: Path) -> None:
    run = Path(compared["report"]).parent / "run.json"
    before = run.read_text()
    with pytest.raises(UsageError):
        warmrl("compare", "pocket:base", "taught=pocket:teacher", *SUITE, *METRICS, "--trained-on", "files=nowhere")
    assert run.read_text() == before and json.loads(before)["state"] == "finished"


REFUSED = {
    "the training split": (["eval", "pocket:base", "--suite", "pocket_charts"], "training data"),
    "no checkpoint": (["eval", "no/such/place/at/all", *SUITE], "no folder"),
    "an empty folder": (["eval", "EMPTY", *SUITE], "no .safetensors"),
    "no suite": (["eval", "pocket:base"], "--suite"),
    "unknown suite": (["eval", "pocket:base", "--suite", "pocket_chart"], "pocket_charts"),
    "k of zero": (["eval", "pocket:base", *SUITE, "--metric", "pass@0"], "at least 1"),
    "temperature zero": (["eval", "pocket:base", *SUITE, "--set", "eval.temperature=0"], "greedy"),
    "twice": (["compare", "pocket:base", "pocket:base", *SUITE], "NAME=TARGET"),
    "no such file": (["eval", "--samples", "nowhere.jsonl", *SUITE], "does not exist"),
    "a stage that is not there": (["eval", "EMPTY#rl", *SUITE], "no warmrl run"),
    "unknown control": (["compare", "pocket:base", "b=pocket:teacher", *SUITE, *METRICS, "--control", "c"], "control"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_targets_are_refused(case: str, compared: dict, tmp_path: Path) -> None:
    arguments, words = REFUSED[case]
    (tmp_path / "empty").mkdir()
    given = [one.replace("EMPTY", str(tmp_path / "empty")) for one in arguments]
    with pytest.raises(UsageError, match=words):
        warmrl(*given)


def test_adapters_are_evaluated_as_they_would_be_merged(home: Path, tmp_path: Path) -> None:
    """A folder of peft's: base and adapters together are neither the base nor another's adapters."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    from warmrl.engine.checkpoints import find
    from warmrl.engine.policy import Policy
    from warmrl.plugin.registry import Registry

    registry = Registry.installed()
    base = find("pocket:base", None, registry)
    model = AutoModelForImageTextToText.from_pretrained(base.path)
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = "pocket:base"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is no folder
        adapted.save_pretrained(tmp_path)
    source = find(str(tmp_path), None, registry)
    assert source.fingerprint != base.fingerprint and source.path == base.path
    policy = Policy.load(source, trained=False)
    expected = adapted.merge_and_unload().state_dict()
    for name, value in policy.model.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match=r"adapter_model\.safetensors"):
        find(str(tmp_path), None, registry)
