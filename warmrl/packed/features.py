"""Image features, computed once for each distinct image of a pass, and kept across passes when nothing there trains."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from warmrl.packed.families import Family, Pixels
from warmrl.packed.plan import Prompt
from warmrl.packed.support import drops

# Features kept, in bytes of host memory: about two thousand images of 334 tokens, 3584 wide, in 16 bits.
CACHE_BYTES = 5 * 2**30


class _Image(NamedTuple):
    """An image, or several that cannot be told apart, of a prompt.

    Its name holds the sizes of its pixels too, because some processors pad or tile an image by what is beside it.
    Without a key it has a name for this pass alone, and does not last.
    """

    name: Hashable
    pixels: Pixels
    lasting: bool


class ImageFeatures:
    """The features of prompts' images.

    Within a pass each distinct image runs through the vision tower once. When no parameter of tower and projector
    requires a gradient, what was computed is kept for later passes too, and every image runs on its own: then its
    features do not depend, to the bit, on which others were already there, and a resumed run repeats a run.

    Args:
        base: The transformers model.
        family: How to reach into it.
        cache_bytes: Most bytes kept; the images that were not asked for longest go first.
    """

    def __init__(self, base: Any, family: Family, cache_bytes: int = CACHE_BYTES) -> None:
        self.base, self.family, self.cache_bytes = base, family, cache_bytes
        self.kept: OrderedDict[Hashable, Tensor] = OrderedDict()
        self.bytes = 0
        self._state: Hashable = None

    def of(self, prompts: Sequence[Prompt]) -> list[Tensor]:
        """`[L, image tokens, H]` of each prompt, its images end to end (L: see `Family.features`)."""
        if self.family.images is None:
            raise ValueError(f"`{type(self.base).__name__}` takes no images, and a prompt has some")
        wanted = [list(self._images(prompt)) for prompt in prompts]
        distinct = {image.name: image for images in wanted for image in images}
        if self._frozen():
            found = {name: self._kept(image) for name, image in distinct.items()}
        else:
            self.clear()
            found = dict(zip(distinct, self._computed(list(distinct.values())), strict=True))
        return [torch.cat([found[image.name] for image in images], 1) for images in wanted]

    def clear(self) -> None:
        """Forget everything kept. Needed after weights were written through `parameter.data`, which leaves no trace."""
        self.kept.clear()
        self.bytes = 0

    def _images(self, prompt: Prompt) -> Iterator[_Image]:
        """A prompt's images; they count as one where they cannot be told apart."""
        assert self.family.images is not None
        keys: Sequence[Hashable] = prompt.image_keys
        images = self.family.images(self.base, prompt) if len(keys) > 1 else [prompt.pixels]
        if len(keys) != len(images):
            images, keys = [prompt.pixels], [prompt.image_keys]
        for place, (key, pixels) in enumerate(zip(keys, images, strict=True)):
            sizes = tuple((part, states.shape) for part, states in sorted(pixels.items()))
            yield _Image((key, sizes) if key else (id(prompt), place), pixels, bool(key))

    def _computed(self, images: Sequence[_Image]) -> Sequence[Tensor]:
        assert self.family.features is not None
        return self.family.features(self.base, [image.pixels for image in images])

    def _kept(self, image: _Image) -> Tensor:
        """The features of one image when nothing trains, from memory where they are there."""
        device = next(iter(image.pixels.values())).device
        autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        key = (image.name, autocast)
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key].to(device)
        with torch.inference_mode(False), torch.no_grad():  # what is sampled with is trained on later
            (features,) = self._computed([image])
        if image.lasting and bytes_of(features) <= self.cache_bytes:
            self.kept[key] = features.cpu()
            self.bytes += bytes_of(features)
            while self.bytes > self.cache_bytes:
                self.bytes -= bytes_of(self.kept.popitem(last=False)[1])
        return features

    def _frozen(self) -> bool:
        """Whether features may be kept; forgets what was kept with other weights.

        Not where a weight needs a gradient, also under `no_grad`: it may change between two passes. Nor with an
        adapter's layers, which can be turned off while all weights stay, with dropout in training, or with shards,
        which all processes must gather together.
        """
        parts = [self.base.get_submodule(path) for path in (*self.family.vision, *self.family.projector)]
        tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
        if any(t.requires_grad or t.is_inference() or isinstance(t, DTensor) for t in tensors):
            return False
        modules = [module for part in parts for module in part.modules()]
        if any(isinstance(getattr(module, "disable_adapters", None), bool) for module in modules):
            return False  # an adapter's layer; transformers' models have a method of this name
        if any(module.training for module in modules) and any(drops(part) for part in parts):
            return False
        state = tuple((id(t), t.data_ptr(), t._version, t.dtype, t.device) for t in tensors)
        if state != self._state:
            self.clear()
            self._state = state
        return True


def bytes_of(tensor: Tensor) -> int:
    """Bytes of a tensor's numbers."""
    return tensor.numel() * tensor.element_size()
