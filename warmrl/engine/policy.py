"""A policy: a transformers checkpoint with its processor, wrapped by the packed forward, that encodes and saves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy, deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils.logging import disable_progress_bar

from warmrl.domain.errors import UsageError
from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Image, Message, Text, images_of
from warmrl.domain.recipe import ModelTable
from warmrl.engine.adapters import Unadapted, merged, plain_state
from warmrl.engine.checkpoints import Source
from warmrl.engine.launch import local_processes
from warmrl.engine.processes import tame_threads
from warmrl.engine.sharding import full, gathered, is_sharded, whole
from warmrl.engine.spreading import Spread, placed
from warmrl.engine.weights import changing, put_back
from warmrl.packed.features import CACHE_BYTES as FEATURE_BYTES
from warmrl.packed.plan import Answer, EncodedGroup, Prompt
from warmrl.packed.policy import PackedPolicy

if TYPE_CHECKING:
    from warmrl.engine.work import Counter, Tally

# A bar for each load and save of a checkpoint would bury the run's own progress.
disable_progress_bar()

# Encoded prompts kept in memory, in bytes of pixels and ids; enough for thousands of small images.
CACHE_BYTES = 2**30
# Files of a checkpoint that say nothing of how prompts are encoded.
OF_THE_MODEL = {"config.json", "generation_config.json", "manifest.json"}
# Tokens that stand for vision input in the families we know; never to be sampled.
VISION_TOKENS = (
    "image_token_id",
    "video_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
    "vision_token_id",
    "image_token_index",
)


class Policy:
    """Model, processor and packed forward of one checkpoint."""

    def __init__(self, model: Any, processor: Any, device: Any = "cpu", *, placed: bool = False) -> None:
        tame_threads(sum(p.numel() for p in model.parameters()))
        self.model = model if placed else model.to(device)
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.packed = PackedPolicy(model, feature_bytes=FEATURE_BYTES // local_processes())
        self.device = torch.device(device)
        self.prompts = Prompts()
        self.compute = self.packed.head_weight.dtype
        self.folder: Path | None = None  # where it was loaded from
        self.counter: Counter | None = None  # what goes through it is counted, where a stage spends it

    @classmethod
    def load(
        cls,
        source: Source,
        table: ModelTable | None = None,
        *,
        device: Any = "cpu",
        trained: bool = True,
        allow_code: bool = False,
        spread: Spread | None = None,
    ) -> Policy:
        """Load a checkpoint: float32 master weights when it is `trained`; frozen, in the recipe's dtype, when not.

        With `spread`, a frozen one's layers may be elsewhere than on the device, which still computes them.
        Raises `UsageError` when the folder holds no model that transformers can load and the packed core computes.
        """
        options: dict[str, Any] = {"trust_remote_code": allow_code}
        pixels = {key: getattr(table, key) for key in ("min_pixels", "max_pixels") if table and getattr(table, key)}
        try:
            config = AutoConfig.from_pretrained(source.path, **options)
            vision = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            family = AutoModelForImageTextToText if vision else AutoModelForCausalLM
            dtype = torch.float32 if trained or table is None else getattr(torch, table.dtype)
            places = placed(family, config, dtype, spread, torch.device(device)) if spread else {}
            kept = torch.float32 if source.adapter else dtype  # adapters are merged in full precision
            model = family.from_pretrained(source.path, dtype=kept, **options, **places)
            if source.adapter:
                model = merged(model, source.adapter).to(dtype)
            processor = AutoProcessor.from_pretrained(source.path, **options, **pixels)
            policy = cls(model.eval().requires_grad_(trained), processor, device, placed=bool(spread))
            policy.compute = getattr(torch, table.dtype) if table else dtype
            policy.folder = Path(source.path)
        except (OSError, ValueError, ImportError, KeyError, SafetensorError) as error:
            raise UsageError(f"The checkpoint {source.path} cannot be loaded: {error}") from error
        return policy

    def use(self, model: Any) -> None:
        """Go on with a model that wraps this one's (adapters)."""
        self.model = model.to(self.device)
        self.packed = PackedPolicy(model, feature_bytes=FEATURE_BYTES // local_processes())

    def autocast(self) -> AbstractContextManager[None]:
        """The precision in which its weights are used: the recipe's `dtype`, whatever they are kept in."""
        if self.compute in (torch.float32, self.packed.head_weight.dtype):
            return nullcontext()
        return torch.autocast(self.device.type, self.compute)

    def unadapted(self) -> Policy:
        """The policy with its adapters off, for scoring: no second copy of anything."""
        found = copy(self)
        found.packed = Unadapted(self.packed)  # type: ignore[assignment]
        return found

    def counted(self, tally: Tally, *, teaches: bool = False) -> Policy:
        """This policy, what goes through it counted from now on."""
        from warmrl.engine.work import Counter

        self.counter = Counter(tally, self, teaches=teaches)
        return self

    def teaching(self) -> Policy:
        """The policy as its own teacher: what it is asked counts as a teacher's work."""
        found = copy(self)
        found.counter = self.counter and self.counter.teaching()
        return found

    def uncounted(self) -> Policy:
        """The same policy for what is no part of a stage's work, and is done again after a kill: self-tests."""
        found = copy(self)
        found.counter = None
        return found

    def stock(self) -> Any:
        """A model around these very weights whose forward pass is transformers' own: for another library's loop.

        What that trains is this policy; its configuration, and what is hung onto it, are its own.
        """
        shared = {id(one): one for one in (*self.model.parameters(), *self.model.buffers())}
        model = deepcopy(self.model, shared)
        base = model if self.model is self.packed.base else model.get_base_model()
        base.set_attn_implementation("sdpa")
        return model

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a completion."""
        found = getattr(self.model.generation_config, "eos_token_id", None)
        ids = found if isinstance(found, list) else [found]
        return frozenset(i for i in [*ids, self.tokenizer.eos_token_id] if i is not None)

    @property
    def banned_ids(self) -> frozenset[int]:
        """Tokens that stand for vision input: a sampled one would be no text."""
        found = (getattr(self.model.config, name, None) for name in VISION_TOKENS)
        return frozenset(i for i in found if isinstance(i, int) and i not in self.stop_ids)

    def encode_prompt(self, messages: Sequence[Message]) -> Prompt:
        """A prompt's tokens (image tokens expanded) and pixels, remembered for the next time it is asked for."""
        key = tuple((m.role, tuple(p.key if isinstance(p, Image) else (p.text,) for p in m.parts)) for m in messages)
        return self.prompts.get(key, lambda: self._encode(messages))

    def _encode(self, messages: Sequence[Message]) -> Prompt:
        encoded = self.processor.apply_chat_template(
            self._chat(messages, content_of),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        left_out = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
        pixels = {key: value for key, value in encoded.items() if key not in left_out}
        keys = tuple(image.key for image in images_of(tuple(messages)))
        return Prompt(encoded["input_ids"][0], pixels, keys)

    def encoded(self) -> tuple[Path, Prompts]:
        """The prompts that it has encoded, and the folder whose processor did it."""
        assert self.folder is not None
        return self.folder, self.prompts

    def take(self, folder: Path, prompts: Prompts) -> None:
        """Go on with prompts that another checkpoint has encoded, if its processor is this one's to the byte."""
        if self.folder is not None and processor_files(self.folder) == processor_files(folder):
            self.prompts = prompts

    def unexpanded(self, messages: Sequence[Message]) -> list[int]:
        """A prompt's tokens with one for each image, as the chat template writes it: what engines expand themselves."""
        text = self.rendered(messages)
        begun = self.tokenizer.bos_token is not None and text.startswith(self.tokenizer.bos_token)
        return list(self.tokenizer(text, add_special_tokens=not begun)["input_ids"])

    def rendered(self, messages: Sequence[Message]) -> str:
        """A prompt as the chat template writes it, images by their placeholder."""
        chat = self._chat(messages, lambda part: {"type": "image"} if isinstance(part, Image) else content_of(part))
        return self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)

    def _chat(self, messages: Sequence[Message], content: Callable[[Text | Image], Any]) -> list[dict[str, Any]]:
        """Messages as chat templates take them; those of language models take text alone."""
        if self.processor is self.tokenizer:
            texts = ("".join(p.text for p in m.parts if isinstance(p, Text)) for m in messages)
            return [{"role": m.role, "content": text} for m, text in zip(messages, texts, strict=True)]
        return [{"role": m.role, "content": [content(part) for part in m.parts]} for m in messages]

    def image_tokens(self, prompt: Prompt) -> int:
        """How many tokens of a prompt stand for image features."""
        image = getattr(self.model.config, "image_token_id", None)
        return int((prompt.ids == image).sum()) if image is not None else 0

    def encode_answer(self, text: str) -> tuple[int, ...]:
        """The tokens of a given completion, with the end-of-sequence token."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return (*ids, self.tokenizer.eos_token_id)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of a completion, without its end-of-sequence token."""
        ids = [int(token) for token in tokens]
        while ids and ids[-1] in self.stop_ids:
            ids.pop()
        return self.tokenizer.decode(ids, skip_special_tokens=False) if ids else ""

    def encode_group(self, group: Group) -> EncodedGroup:
        """A group as the packed forward takes it; signals become per-token columns."""
        prompts = tuple(self.encode_prompt(view) for view in group.views)
        return EncodedGroup(prompts, tuple(encode_completion(one) for one in group.completions))

    @property
    def root(self) -> PackedPolicy:
        """The module that processes share, adapters on or off."""
        return self.packed.adapted if isinstance(self.packed, Unadapted) else self.packed

    def gathered(self) -> AbstractContextManager[None]:
        """Its weights whole meanwhile, when they are in shards; entered by all processes together."""
        return gathered(self.root)

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every weight under the name that a transformers checkpoint gives it, adapters added in; all processes go
        through it together.
        """
        state = self._state()
        for name in sorted(state):
            yield name, full(state[name].detach())

    def _state(self) -> dict[str, torch.Tensor]:
        return self.model.state_dict(keep_vars=True) if self.model is self.packed.base else plain_state(self.model)

    def snapshot(self) -> dict[str, torch.Tensor]:
        """A copy of what training changes, for `restore`; of weights in shards, each process has its own."""
        return {name: value.detach().clone() for name, value in changing(self.model).items()}

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Go back to a snapshot, or to one that a checkpoint made whole."""
        put_back(self.model, weights)

    def save(self, folder: Path | None) -> None:
        """Write a plain transformers checkpoint with its processor; adapters are added in, and kept in `adapter`.

        Where the weights are in shards, by all processes together; one without a folder writes nothing.
        """
        adapted, writes = self.model is not self.packed.base, folder is not None
        state, adapter = self._state() if adapted else None, None
        if is_sharded(self.packed):
            state = whole(state or self._state(), keep=writes)
            own = self.model.state_dict(keep_vars=True) if adapted else {}
            adapter = whole({name: value for name, value in own.items() if ".lora_" in name}, keep=writes)
        if folder is None:
            return
        self.packed.base.save_pretrained(folder, state_dict=state)
        if adapted:
            # Left to itself, peft would ask the hub whether the vocabulary was resized.
            self.model.save_pretrained(folder / "adapter", save_embedding_layers=False, state_dict=adapter)
        self.processor.save_pretrained(folder)


class Prompts:
    """Encoded prompts, the least recently used of them forgotten beyond `CACHE_BYTES`."""

    def __init__(self) -> None:
        self.held: OrderedDict[Any, Prompt] = OrderedDict()
        self.bytes = 0

    def clear(self) -> None:
        """Forget all of them."""
        self.held.clear()
        self.bytes = 0

    def get(self, key: Any, make: Callable[[], Prompt]) -> Prompt:
        """The prompt of a key, made when it isn't there."""
        if key in self.held:
            self.held.move_to_end(key)
            return self.held[key]
        self.held[key] = prompt = make()
        self.bytes += size_of(prompt)
        while self.bytes > CACHE_BYTES and len(self.held) > 1:
            self.bytes -= size_of(self.held.popitem(last=False)[1])
        return prompt


def processor_files(folder: Path) -> dict[str, bytes]:
    """Everything in a checkpoint's folder that its processor is made from."""
    files = (one for one in folder.iterdir() if one.suffix in {".json", ".jinja", ".txt", ".model"})
    own = (one for one in files if one.name not in OF_THE_MODEL and not one.name.endswith(".index.json"))
    return {one.name: one.read_bytes() for one in own}


def content_of(part: Text | Image) -> dict[str, Any]:
    """A part of a message as chat templates take it."""
    return {"type": "image", "image": part.load()} if isinstance(part, Image) else {"type": "text", "text": part.text}


def encode_completion(completion: Completion) -> Answer:
    """A completion's tokens, mask and columns; a signal that is one number is repeated for every token."""
    count = len(completion.tokens)
    train = torch.ones(count, dtype=torch.bool) if completion.train is None else torch.tensor(completion.train)
    return Answer(torch.tensor(completion.tokens), completion.view, train, columns(completion.signals, count))


def columns(signals: Mapping[str, Any], count: int) -> dict[str, torch.Tensor]:
    """Signals as tensors with one entry per token."""
    out: dict[str, torch.Tensor] = {}
    for name, value in signals.items():
        if isinstance(value, int | float):
            out[name] = torch.full((count,), float(value))
        else:
            out[name] = torch.as_tensor(value, dtype=torch.float32) if isinstance(value, list | tuple) else value
    return out


def size_of(prompt: Prompt) -> int:
    """Bytes that an encoded prompt holds."""
    return sum(t.numel() * t.element_size() for t in [prompt.ids, *prompt.pixels.values()] if torch.is_tensor(t))
