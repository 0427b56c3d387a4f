"""The tiny Qwen checkpoints load by transformers' own classes, and are the same bytes every time."""

import PIL.Image
import pytest
import tiny_checkpoints
from tiny_checkpoints import needs_torchvision

from warmrl.domain.problem import Image, Message, Text
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.policy import Policy

pytestmark = needs_torchvision
FAMILIES = [("qwen2_5_vl", "Qwen2_5_VLProcessor", 12), ("qwen3_vl", "Qwen3VLProcessor", 6)]


@pytest.mark.parametrize(("family", "processor", "tokens"), FAMILIES)
def test_what_is_written_loads(tmp_path, family, processor, tokens):
    write = getattr(tiny_checkpoints, f"write_{family}")
    policy = Policy.load(folder_source(write(tmp_path / "one")))
    assert type(policy.processor).__name__ == processor
    picture = Image("one", lambda: PIL.Image.new("RGB", (100, 80), "red"))
    prompt = policy.encode_prompt([Message("user", (picture, Text(text := "Find x² + \\sqrt{2}.")))])
    assert policy.image_tokens(prompt) == tokens
    assert text in policy.tokenizer.decode(prompt.ids)
    assert len(policy.stop_ids) == 2
    assert len(policy.banned_ids) == 4
    assert folder_source(write(tmp_path / "two")).fingerprint == folder_source(tmp_path / "one").fingerprint
    assert folder_source(write(tmp_path / "three", seed=1)).fingerprint != folder_source(tmp_path / "one").fingerprint
