"""The load format `warmrl`: small random weights until the policy's are pushed.

vLLM's own `dummy` also overwrites buffers that belong to no checkpoint, among them the pixel normalisation of
Qwen2.5-VL (0.30: `FusedInputNorm`): no weights pushed later would mend that.
"""

from __future__ import annotations

from torch import nn
from vllm.config import ModelConfig
from vllm.config.load import LoadConfig
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.base_loader import BaseModelLoader
from vllm.model_executor.model_loader.weight_utils import initialize_single_dummy_weight

from warmrl_vllm.engine import LOAD_FORMAT


@register_model_loader(LOAD_FORMAT)
class PlaceholderWeights(BaseModelLoader):
    """Fills parameters alone."""

    def __init__(self, load_config: LoadConfig) -> None:
        super().__init__(load_config)

    def download_model(self, model_config: ModelConfig) -> None:
        """There is nothing to download."""

    def load_weights(self, model: nn.Module, model_config: ModelConfig) -> None:
        """Small random numbers, so that a profiling run computes."""
        for parameter in model.parameters():
            initialize_single_dummy_weight(parameter)
