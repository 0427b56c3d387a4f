"""Loading a checkpoint: what the packed core does not compute is refused in a sentence, before anything runs."""

import pytest
from model_checks import REFUSED
from warmrl_pocket.build import build_processor

from warmrl.domain.errors import UsageError
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.policy import Policy


def test_an_unknown_family_is_refused(tmp_path):
    (subject,) = (one for one in REFUSED if one.name == "olmo2")
    subject.build().save_pretrained(tmp_path)
    build_processor().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="cannot be loaded: model family `olmo2` is not supported: the packed core"):
        Policy.load(folder_source(tmp_path))
