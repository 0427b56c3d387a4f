"""Opens untrusted images: few formats, a pixel cap checked before decoding, always RGB."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warmrl.api import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
ENDS = {"JPEG": b"\xff\xd9", "GIF": b";"}
GREY = (128, 128, 128)
SIDE = 224
"""Pixels of a side of the square that stands for a bad image."""


@dataclass(frozen=True)
class Source:
    """One image: the row it is in (for errors), its file or its bytes, and the cap."""

    where: str
    at: Path | bytes
    max_pixels: int

    def read(self) -> bytes:
        """The encoded bytes. Raises `DataError`."""
        if isinstance(self.at, bytes):
            return self.at
        try:
            return self.at.read_bytes()
        except OSError as error:
            why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise DataError(
                f"{self.where}: {self._name()} {why}; put it there, mend `image_folder` or the row, or set "
                f"`on_bad_image` to `skip` or `replace`."
            ) from None

    def check(self, decode: bool) -> str:
        """Check that it can be decoded and give its key, a hash of its bytes. Raises `DataError`.

        Header and size are always looked at. The pixels are decoded when `decode` is set, or when the checksums (PNG)
        or the end of the file aren't as they should be, so a file that was cut off is found quickly.
        """
        data = self.read()
        image = self._opened(data)
        if decode or not self._looks_whole(data, image.format or ""):
            self._rgb(image)
        return hashlib.sha256(data).hexdigest()

    def load(self) -> Image:
        """Decode it, as RGB. Raises `DataError`."""
        return self._rgb(self._opened(self.read()))

    def _opened(self, data: bytes) -> Image:
        """Read the header alone, and hold the size to the cap."""
        import PIL.Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
        except PIL.Image.DecompressionBombError:
            raise self._too_large("more pixels than Pillow opens") from None
        except Exception as error:
            raise self._undecodable(error) from None
        if image.width * image.height > self.max_pixels:
            raise self._too_large(f"{image.width} x {image.height} pixels")
        return image

    def _looks_whole(self, data: bytes, form: str) -> bool:
        """Whether a PNG's checksums are right, or the file ends as one of its format does."""
        if form != "PNG":
            return ends_well(data, form)
        try:
            self._opened(data).verify()
        except Exception:
            return False
        return True

    def _rgb(self, image: Image) -> Image:
        """Decode: the first frame, upright, on white where it is transparent, 16 bits scaled to 8."""
        import PIL.Image
        import PIL.ImageOps

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = PIL.ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):
                    image = image.convert("I").point(lambda value: value / 257).convert("L")
                if image.has_transparency_data:
                    image = image.convert("RGBA")
                    paper = PIL.Image.new("RGBA", image.size, "white")
                    image = PIL.Image.alpha_composite(paper, image)
                return image.convert("RGB")
        except Exception as error:
            raise self._undecodable(error) from None

    def _name(self) -> str:
        return "the image in it" if isinstance(self.at, bytes) else f"the image {self.at}"

    def _undecodable(self, error: Exception) -> DataError:
        reason = "no image of these formats" if type(error).__name__ == "UnidentifiedImageError" else str(error)
        return DataError(
            f"{self.where}: {self._name()} cannot be decoded ({reason}); it must be a whole {', '.join(FORMATS)} "
            f"image. Mend it, or set `on_bad_image` to `skip` or `replace`."
        )

    def _too_large(self, size: str) -> DataError:
        return DataError(
            f"{self.where}: {self._name()} has {size}; the cap is {self.max_pixels:,} pixels, checked before decoding. "
            f"Make it smaller, raise `max_pixels`, or set `on_bad_image` to `skip` or `replace`."
        )


def ends_well(data: bytes, form: str) -> bool:
    """Whether the bytes end as a whole file of that format does."""
    if form == "WEBP":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    if form == "BMP":
        return len(data) >= int.from_bytes(data[2:6], "little") > 0
    return form in ENDS and data.rstrip(b"\x00\r\n ").endswith(ENDS[form])


def grey() -> Image:
    """The square that stands for a bad image."""
    import PIL.Image

    return PIL.Image.new("RGB", (SIDE, SIDE), GREY)
