"""The teacher's preflight: what may differ, and what is refused before a token is compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForImageTextToText
from warmrl_pocket import WEIGHTS
from warmrl_pocket.config import GeometryConfig
from warmrl_pocket.geometry import PocketGeometry
from warmrl_teachers.preflight import compare

from warmrl.api import UsageError
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.policy import Policy


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
