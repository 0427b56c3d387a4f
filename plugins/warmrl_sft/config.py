"""Settings of `sft`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from warmrl.api import ADDED, MethodConfig


class SFTConfig(MethodConfig):
    """Supervised fine-tuning on worked answers (`Problem.solution`): gold ones, or a teacher's (curator `traces`)."""

    reads: ClassVar[frozenset[str]] = frozenset()

    steps: Annotated[int, Field(ge=0)] = 0
    """Batches; 0 takes as many as `epochs` gives."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Passes over the data, when `steps` is 0. One or two: the matched arm; many: the over-trained one."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    """1e-5: the common setting of full fine-tuning at 7B."""
    weighting: Annotated[Literal["none", "dft"], Field(json_schema_extra=ADDED)] = "none"
    """`dft`: each token's loss weighs by its own probability, held constant (Dynamic Fine-Tuning, arXiv:2508.05629):
    tokens that the policy finds unlikely no longer pull hardest."""
    hold_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the problems kept out of training to stop early on; 0 trains on all, to the last step."""
    check_every: Annotated[int, Field(ge=1)] = 10
    """Steps between looks at the held-out problems."""
    patience: Annotated[int, Field(ge=1)] = 3
    """Looks without a lower held-out loss after which the stage ends; the best policy is what it hands on."""

    def holds(self) -> frozenset[str]:
        """The best policy so far, while there is early stopping."""
        return frozenset({"snapshot"} if self.hold_out else ())
