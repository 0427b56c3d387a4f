"""What a recipe may say of the teacher `server`, which of it identifies a result, and how long a server may ask for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from warmrl_teachers.client import asked_to_wait

from warmrl.api import RecipeError
from warmrl.engine import recipe_file
from warmrl.engine.keys import semantic
from warmrl.plugin.registry import Registry

REGISTRY = Registry.installed()

RECIPE = """
version = 1
name = "x"
[model]
path = "pocket:base"
[answer]
use = "tags"
[data.train]
use = "pocket_geometry"
[suite.validation]
use = "pocket_geometry"
[reward.math]
[stage.warm]
use = "opd"
"""


def table(**teacher: Any) -> str:
    held = {"use": "server", "model": "m", "urls": ["http://127.0.0.1:1/v1"], **teacher}
    return "teacher = {" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in held.items()) + "}"


@pytest.mark.parametrize(
    ("stage", "teacher", "words"),
    [
        ("", {"kind": "vllm"}, "gives `full`, and `server` gives generates, sampled, top-k"),
        ("top_k = 4", {}, "gives `top-k`, and `server` gives generates;"),
        ('divergence = "sampled"', {}, "gives `sampled`, and `server` gives generates;"),
        ('divergence = "sampled"\ntop_k = 4', {"kind": "vllm"}, "`top_k` is for a divergence"),
        ("top_k = 4", {"kind": "vllm", "urls": ["http://me:secret@host/v1"]}, "without a user"),
        ("top_k = 4", {"kind": "vllm", "urls": ["127.0.0.1:8000"]}, "write `http://host:port/v1`"),
        ("top_k = 4", {"kind": "vllm", "urls": []}, "at least 1"),
    ],
)
def test_recipe_check_refuses(stage: str, teacher: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE + f"{stage}\n{table(**teacher)}")
    with pytest.raises(RecipeError) as refused:
        recipe_file.read(file)
    assert words in str(refused.value)


def test_a_result_does_not_depend_on_where_it_was_asked(tmp_path: Path) -> None:
    """Addresses, key, patience and cache are no part of a stage's key; the model is."""
    file = tmp_path / "recipe.toml"
    keys = []
    elsewhere = {"urls": ["https://a/v1", "https://b/v1"], "api_key_env": "KEY", "deadline": 3.0, "retries": 1}
    more = {"backoff": 2.0, "concurrency": 3, "cache": False, "cache_folder": "/tmp/x"}
    for teacher in ({}, elsewhere, more, {"model": "n"}):
        file.write_text(RECIPE + f"top_k = 4\n{table(kind='vllm', **teacher)}")
        keys.append(semantic(recipe_file.read(file).recipe.stage["warm"], REGISTRY))
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_retry_after() -> None:
    """Seconds or a date; nonsense is no wish, and none is granted beyond ten minutes."""
    assert not any(asked_to_wait(one) for one in (None, "", "soon", "nan", "-3", "0"))
    assert [asked_to_wait(one) for one in ("2.5", "1e9")] == [2.5, 600]
    assert 200 < asked_to_wait(format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)) <= 300
