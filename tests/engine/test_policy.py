"""Loading a checkpoint: what the packed core does not compute is refused in a sentence; pixel limits reach images."""

import json

import PIL.Image
import pytest
import tiny_checkpoints
from model_checks import REFUSED
from tiny_checkpoints import needs_torchvision
from warmrl_pocket.build import build_processor

from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Image, Message, Text
from warmrl.domain.recipe import ModelTable
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.policy import Policy


def test_an_unknown_family_is_refused(tmp_path):
    (subject,) = (one for one in REFUSED if one.name == "olmo2")
    subject.build().save_pretrained(tmp_path)
    build_processor().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="cannot be loaded: model family `olmo2` is not supported: the packed core"):
        Policy.load(folder_source(tmp_path))


def as_on_the_hub(folder):
    """The processor's settings as published checkpoints have them: older file names, `min_pixels` and `max_pixels`."""
    settings = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    size = settings.pop("size")
    settings |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    settings["processor_class"] = json.loads((folder / "processor_config.json").read_text())["processor_class"]
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    (folder / "processor_config.json").unlink()
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (folder / "chat_template.jinja").unlink()


def image_tokens(policy, width, height):
    picture = Image(f"{width} x {height}", lambda: PIL.Image.new("RGB", (width, height)))
    prompt = policy.encode_prompt([Message("user", (picture, Text("?")))])
    pixels = prompt.pixels["image_grid_thw"].prod() // 4
    assert policy.image_tokens(prompt) == pixels
    return int(pixels)


@needs_torchvision
@pytest.mark.parametrize("older", [False, True], ids=["as saved", "as on the Hub"])
@pytest.mark.parametrize(("family", "side"), [("qwen2_5_vl", 28), ("qwen3_vl", 32)])
def test_pixel_limits_reach_the_processor(tmp_path, family, side, older):
    """A token is `side` pixels square; an image is enlarged to the least and made smaller than the most."""
    getattr(tiny_checkpoints, f"write_{family}")(tmp_path / "model")
    if older:
        as_on_the_hub(tmp_path / "model")
    source, square = folder_source(tmp_path / "model"), 8 * side
    assert image_tokens(Policy.load(source), square, square) == 64
    limits = {"path": "x", "min_pixels": 100 * side * side, "max_pixels": 144 * side * side}
    policy = Policy.load(source, ModelTable.model_validate(limits))
    assert image_tokens(policy, square, square) == 100
    assert image_tokens(policy, 11 * side, 11 * side) == 121
    assert image_tokens(policy, 30 * side, 30 * side) == 144
    least = Policy.load(source, ModelTable.model_validate({"path": "x", "max_pixels": 9 * side * side}))
    assert image_tokens(least, square, square) == 9
    policy.save(tmp_path / "saved")
    assert image_tokens(Policy.load(folder_source(tmp_path / "saved")), square, square) == 100
