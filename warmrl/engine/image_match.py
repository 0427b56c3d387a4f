"""Whether a picture is a copy of another: a 64-bit perceptual hash finds candidates, a closer look decides."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from warmrl.domain.problem import Image
from warmrl.engine.storage import write_text

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

SIDE = 32
"""Pixels of a side of the thumbnail that is hashed: four times the eight frequencies that are kept."""
BITS = 10
"""Most bits of 64 in which the hashes of copies differ; measured on JPEG of quality 30 and half the size: 6."""
SHAPE = 0.08
"""Most by which the logarithms of copies' proportions differ; rounding to whole pixels makes some difference."""
COARSE = 0.1
"""Most squared difference of copies' thumbnails, over their variance (a correlation of 0.95); measured: 0.02."""
NEAREST = 8
"""Candidates that are looked at closely, those with the nearest thumbnails first."""
FINE = 256
"""Pixels of a side at which two pictures are compared, or what the smaller of them has."""
SAME, USUAL, SPIKE = 0.06, 0.08, 8.0
SMALL, LOOSE = 128, 0.45
"""When the closer look says copy (`copies`); the measured values stand in docs/contamination.md."""
BLANK = 1.0
"""Standard deviation in grey levels below which a picture is blank: what stands for a missing one is no overlap."""
BLOCK = 256


@dataclass(frozen=True)
class Thumbnail:
    """A picture as it is searched: its size in pixels (width, height) and (32, 32) bytes of grey."""

    size: tuple[int, int]
    grey: np.ndarray

    @cached_property
    def blank(self) -> bool:
        """Whether there is nothing to compare."""
        return float(self.grey.std()) < BLANK

    @cached_property
    def bits(self) -> np.ndarray:
        """The perceptual hash: 64 of +1 and -1, which of the lowest DCT coefficients are over their median."""
        from scipy.fft import dctn

        low = dctn(self.grey.astype(np.float32), norm="ortho")[:8, :8].ravel()
        return np.where(low > np.median(low), 1, -1).astype(np.int8)


def thumbnails(images: Iterable[Image], cache: Path | None = None) -> dict[str, Thumbnail]:
    """The thumbnail of every picture by its key; each is opened once. `cache` is a JSON file that keeps them."""
    kept = read(cache) if cache else {}
    found: dict[str, Thumbnail] = {}
    for image in images:
        if image.key not in found:
            found[image.key] = kept.get(image.key) or thumbnail(image)
    if cache and found.keys() - kept.keys():
        table = {key: [*one.size, base64.b64encode(one.grey.tobytes()).decode()] for key, one in (kept | found).items()}
        write_text(cache, json.dumps(table))
    return found


def read(cache: Path) -> dict[str, Thumbnail]:
    """What a cache holds; nothing when there is none, or it is none: then it is made again."""
    try:
        table = json.loads(cache.read_bytes())
        return {
            key: Thumbnail((int(w), int(h)), np.frombuffer(base64.b64decode(grey), np.uint8).reshape(SIDE, SIDE))
            for key, (w, h, grey) in table.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def thumbnail(image: Image) -> Thumbnail:
    """Open a picture and shrink it."""
    picture = image.load()
    return Thumbnail(picture.size, grey_of(picture, SIDE).round().clip(0, 255).astype(np.uint8))


def grey_of(picture: PILImage, side: int) -> np.ndarray:
    """A picture as (side, side) grey levels, 0 to 255."""
    from PIL import Image as PILImage

    small = picture.convert("L").resize((side, side), PILImage.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float32)


def near(wanted: Sequence[Thumbnail], known: Sequence[Thumbnail]) -> list[list[int]]:
    """For each thumbnail the known ones that may be copies, the nearest first and at most `NEAREST`.

    The Hamming distance of two hashes is (64 - their dot product) / 2, so a block of distances is one matrix product.
    """
    if not known:
        return [[] for _ in wanted]
    hashes = np.stack([one.bits for one in known]).astype(np.float32)
    grey = np.stack([one.grey for one in known])
    shape = np.array([proportions(one) for one in known])
    out = []
    for start in range(0, len(wanted), BLOCK):
        block = wanted[start : start + BLOCK]
        distance = (64 - np.stack([one.bits for one in block]).astype(np.float32) @ hashes.T) / 2
        for one, row in zip(block, distance, strict=True):
            candidates = np.flatnonzero((row <= BITS) & (np.abs(shape - proportions(one)) <= SHAPE))
            own = one.grey.astype(np.float32)
            apart = ((grey[candidates] - own) ** 2).mean((1, 2)) / (own.var() + 1e-9)
            order = np.argsort(apart, kind="stable")[:NEAREST]
            out.append([int(candidates[place]) for place in order if apart[place] <= COARSE])
    return out


def proportions(one: Thumbnail) -> float:
    """The logarithm of width over height."""
    return float(np.log(one.size[0] / one.size[1]))


def copies(first: PILImage, second: PILImage) -> bool:
    """Whether two pictures of the same proportions show the same, however they were encoded and sized.

    Both are brought to one size. In every window (a fourteenth of a side) the squared difference is set beside the
    ink, the squared difference from the background, so that a label of a drawing weighs as much as its largest line.
    Encoding differs a little everywhere, another label much in one place: copies have a worst window of at most `SAME`,
    or one of at most `SPIKE` times the 90th percentile of the windows with ink, which is at most `USUAL`. Below `SMALL`
    pixels a side a window holds too few pixels for that: they are blurred more, and the worst is at most `LOOSE`.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    side = max(SIDE, min(FINE, *first.size, *second.size))
    blur = 1.0 if side < SMALL else 0.6
    a, b = (gaussian_filter(grey_of(picture, side), blur) for picture in (first, second))
    paper, window, noise = float(np.median(a)), max(7, side // 14), 16.0**2
    difference = uniform_filter((a - b) ** 2, window)
    ink = uniform_filter(((a - paper) ** 2 + (b - paper) ** 2) / 2, window)
    share = difference / (ink + noise)
    worst = float(share.max())
    if side < SMALL:
        return worst <= LOOSE
    usual = float(np.percentile(share[ink > noise], 90)) if (ink > noise).any() else 0.0
    return worst <= SAME or (usual <= USUAL and worst <= SPIKE * (usual + 1e-3))


def find(suite: Mapping[str, Image], training: Mapping[str, Image], cache: Path | None = None) -> dict[str, str]:
    """For each picture of a suite (by key) that is in the training data, the key it has there.

    Equal keys are equal pixels. Blank pictures are no overlap. The same input gives the same pairs.
    """
    known = thumbnails((*training.values(), *suite.values()), cache)
    found = {key: key for key in suite if key in training and not known[key].blank}
    there = [key for key in training if not known[key].blank]
    wanted = [key for key in suite if key not in found and not known[key].blank]
    for key, candidates in zip(wanted, near([known[k] for k in wanted], [known[k] for k in there]), strict=True):
        if candidates:
            picture = suite[key].load()
            match = next((there[one] for one in candidates if copies(picture, training[there[one]].load())), None)
            if match is not None:
                found[key] = match
    return found
