"""A torchvision that was built for another torch does not keep transformers from its processors."""

import subprocess
import sys

import pytest
from tiny_checkpoints import needs_torchvision


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
