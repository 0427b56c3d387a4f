"""The teacher `reward_model`: rates answers with a sequence-classification checkpoint in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoProcessor

from warmrl.api import Problem, Teacher, Text, UsageError
from warmrl.engine.api import Stage
from warmrl_teachers.chat import answered
from warmrl_teachers.config import RewardModelConfig


class RewardModel(Teacher[RewardModelConfig]):
    """S(problem, answer): the one logit of the model for the conversation under its own chat template.

    It is loaded when it is first needed, on the accelerator where there is one. The problem's instruction for answer
    styles is not part of what it reads. Raises `UsageError` for a checkpoint without a chat template, with another
    number of labels, or without the weights of its head: a base model is no reward model.

    Of its `engine` it needs no more than `located` and `allow_code`.
    """

    def __init__(self, config: RewardModelConfig, engine: Stage) -> None:
        super().__init__(config, engine)
        self._loaded: tuple[Any, Any] | None = None

    def rate(self, problem: Problem, answers: Sequence[str]) -> list[float]:
        """The logit of each answer, in order."""
        model, processor = self._loaded or self._load()
        model.to(device())
        # Without a padding token transformers cannot tell where a row ends.
        size = 1 if model.config.get_text_config().pad_token_id is None else self.config.batch
        rates: list[float] = []
        for start in range(0, len(answers), size):
            chats = [chat_of(problem, one, images=self._sees(processor)) for one in answers[start : start + size]]
            inputs = processor.apply_chat_template(
                chats, tokenize=True, return_dict=True, return_tensors="pt", **({"padding": True} if size > 1 else {})
            )
            with torch.inference_mode():
                logits = model(**inputs.to(model.device)).logits
            rates += logits[:, 0].float().tolist()
        return rates

    def _sees(self, processor: Any) -> bool:
        return self.config.images and hasattr(processor, "image_processor")

    def _load(self) -> tuple[Any, Any]:
        """The frozen model and its processor (for text alone, its tokenizer)."""
        path, options = self.config.path, {"trust_remote_code": self.engine.allow_code}
        folder = self.engine.located(path, self.config.model_revision)
        try:
            processor = AutoProcessor.from_pretrained(folder, **options)
            model, found = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=getattr(torch, self.config.dtype), output_loading_info=True, **options
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise UsageError(f"The reward model {path} cannot be loaded: {error}") from error
        lacking = "a chat template" if getattr(processor, "chat_template", None) is None else ""
        if found["missing_keys"]:
            lacking = f"the weights {', '.join(sorted(found['missing_keys']))}, as a model without a trained head has"
        if model.config.num_labels != 1:
            lacking = f"one label (it has {model.config.num_labels})"
        if lacking:
            raise UsageError(f"The checkpoint {path} is no reward model: it lacks {lacking}.")
        self._loaded = model.eval().requires_grad_(False), processor
        return self._loaded

    def rest(self) -> None:
        """Go to host memory, when it is to be offloaded."""
        if self.config.offload and self._loaded is not None:
            self._loaded[0].to("cpu")

    def release(self) -> None:
        """Forget the model."""
        self._loaded = None


def device() -> torch.device:
    """This process's accelerator, or the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def chat_of(problem: Problem, answer: str, *, images: bool) -> list[dict[str, Any]]:
    """The conversation as chat templates take it: parts in order, or plain texts for a model without eyes."""
    chat = []
    for message in answered(problem, answer):
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, Text):
                parts.append({"type": "text", "text": part.text})
            elif images:
                parts.append({"type": "image", "image": part.load()})
        chat.append({"role": message.role, "content": parts if images else "".join(one["text"] for one in parts)})
    return chat
