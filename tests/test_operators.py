"""A torchvision that was built for another torch does not keep transformers from its processors."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest
from tiny_checkpoints import needs_torchvision

from warmrl import operators


@needs_torchvision
@pytest.mark.slow
def test_processors_are_found_in_a_fresh_process():
    code = (
        "import warmrl\n"
        "from warmrl.cli.doctor import torchvision\n"
        "(found,) = torchvision()\n"
        "assert found['ok'], found\n"
        "from transformers import Idefics3Processor, Qwen2_5_VLProcessor, Qwen2VLVideoProcessor\n"
        "from torchvision.transforms.v2.functional import resize\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_nothing_happens_where_there_is_no_torchvision(monkeypatch):
    """transformers looks for it whether it is there or not."""

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(operators, "files", absent)
    finder = operators.BeforeTorchvision()
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    assert finder.find_spec("torchvision") is None
    assert finder not in sys.meta_path
