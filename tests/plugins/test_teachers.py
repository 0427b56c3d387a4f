"""The teacher `local`: its preflight, what may differ and what is refused, and its most probable tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from parity.subjects import (
    UNCLIPPED,
    agree,
    canned_groups,
    load_policy,
    stage_for,
    update_of,
    weighed,
    write_checkpoint,
)
from transformers import AutoModelForImageTextToText
from warmrl_opd.config import OPDConfig
from warmrl_opd.method import OPD
from warmrl_pocket import WEIGHTS
from warmrl_pocket.config import GeometryConfig
from warmrl_pocket.geometry import PocketGeometry
from warmrl_teachers.preflight import compare

from warmrl.api import Group, UsageError
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.packed.plan import plan
from warmrl.plugin.registry import Registry


@pytest.fixture(scope="module")
def student() -> Policy:
    return Policy.load(folder_source(WEIGHTS / "base"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(WEIGHTS / "teacher", tmp_path / "teacher")
    return tmp_path / "teacher"


def findings(folder: Path, student: Policy) -> list[str]:
    problems = PocketGeometry(GeometryConfig(split="validation", size=1)).problems()
    return compare(Policy.load(folder_source(folder)), student, "it", problems)


def test_the_pocket_teacher_fits(student: Policy, folder: Path) -> None:
    found = findings(folder, student)
    assert not any("WARNING" in one for one in found)
    assert "48 tokens have the same ids" in found[0] and "16 of them image tokens" in found[-1]


def test_padding_rows_of_the_head_are_left_out(student: Policy, folder: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder)
    model.resize_token_embeddings(64)
    model.save_pretrained(folder)
    found = findings(folder, student)
    assert any("48 (student) and 64 (teacher) rows" in one for one in found)


def test_another_vocabulary_is_refused(student: Policy, folder: Path) -> None:
    file = folder / "tokenizer.json"
    table = json.loads(file.read_text())
    words = table["model"]["vocab"]
    words["7"], words["8"] = words["8"], words["7"]
    file.write_text(json.dumps(table))
    with pytest.raises(UsageError, match=r"does not speak the student's tokens: 2 tokens have another id.*'7'"):
        findings(folder, student)


def test_another_end_and_template_are_found(student: Policy, folder: Path) -> None:
    template = folder / "chat_template.jinja"
    template.write_text("read " + template.read_text())
    settings = json.loads((folder / "generation_config.json").read_text()) | {"eos_token_id": [0, 1]}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    found = " ".join(findings(folder, student))
    assert "WARNING: the student ends with" in found and "WARNING: the chat templates differ" in found


def opd(how: dict[str, Any], folder: Path) -> tuple[OPD, list[Group]]:
    """OPD from the pocket's random teacher on canned groups, scored by it."""
    student = write_checkpoint(folder / "student", 1)
    policy = load_policy(student)
    table = {"teacher": {"use": "local", "path": str(write_checkpoint(folder / "teacher", 3, "random-teacher"))}}
    config = OPDConfig.model_validate({**table, **how}, context={"registry": Registry.installed()})
    method = OPD(config, stage_for(policy, config, student, Processes()))
    method.prepare()
    groups = list(weighed(canned_groups(policy)))
    method.teacher.score(groups, config.form, config.top_k or 0)
    return method, groups


@pytest.mark.parametrize("divergence", ["reverse", "forward", "jsd"])
def test_top_k_of_all_tokens_is_the_exact_divergence(divergence: str, tmp_path: Path) -> None:
    """The local teacher's top-k, through signals, rows and the head, with every token among the k."""
    updates = []
    for how in ({}, {"top_k": 48}):
        method, groups = opd({"divergence": divergence, "max_grad_norm": UNCLIPPED, **how}, tmp_path)
        updates.append(update_of(method.stage, method, groups))
    agree(updates[1], updates[0])


def test_top_k_logs_its_coverage(tmp_path: Path) -> None:
    """The share of the teacher's mass on the tokens that are compared; the divergence is below the exact one."""
    found = []
    for how in ({"top_k": 5}, {"top_k": 20}, {}):
        method, groups = opd(how, tmp_path)
        (row,) = plan([method.stage.policy.encode_group(group) for group in groups], token_budget=16384)[0]
        with torch.no_grad():
            output = method.stage.policy.packed(row, method.loss(row))
        share = method.token_metrics(row, output).get("coverage", 0.0) / len(row.targets)
        found.append((share, float(output.divergence.sum())))
    (some, less), (nearly, more), (none, exact) = found
    assert none == 0 < some < nearly < 1
    assert 0 < less < more < exact


def test_the_most_probable_tokens_hold_the_sampled_ones_probability(tmp_path: Path) -> None:
    scored = [opd(how, tmp_path)[1] for how in ({"top_k": 48}, {"divergence": "sampled"})]
    for top, sampled in zip(*([c for g in groups for c in g.completions] for groups in scored), strict=True):
        ids, logprobs = top.signals["teacher_top_ids"], top.signals["teacher_top_logprobs"]
        at = ids == torch.tensor(top.tokens)[:, None]
        trained = torch.tensor(top.train or [True] * len(top.tokens))
        gap = (logprobs[at] - sampled.signals["teacher_logprob"])[trained]
        assert ids.dtype == torch.int64 and float(gap.abs().max()) < 1e-5


def test_more_tokens_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`top_k` is 49, and the vocabulary that both share has 48"):
        opd({"top_k": 49}, tmp_path)
