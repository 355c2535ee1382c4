"""Stored pictures made small, for pages. WebP: every browser has it, at a third of a PNG's size."""

import io
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from director.errors import StoreError
from director.types import ImageHash
from tasks.store.images import MAX_PIXELS, Images
from tasks.store.objects import NotFound
from tasks.store.recent import Recent

WIDTHS = (64, 128, 256, 512, 1024)
"""Of thumbnails, in pixels; others are rounded up to one of these, so that few variants are kept."""
_QUALITY = 80
_FETCHERS = 4


def shrink(png: bytes, width: int, quality: int = _QUALITY, max_pixels: int = MAX_PIXELS) -> bytes:
    """A stored PNG as WebP, at most `width` wide and four times as high; never enlarged.

    Raises StoreError when the picture is larger than any that is let in: its size is read before it is unpacked.
    """
    with Image.open(io.BytesIO(png), formats=("PNG",)) as stored:
        if stored.width * stored.height > max_pixels:
            raise StoreError(f"a stored picture is {stored.width} x {stored.height}: too large to be shown")
        small = stored.convert("RGB")
    small.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
    output = io.BytesIO()
    small.save(output, "WEBP", quality=quality, method=2)
    return output.getvalue()


class Thumbnails:
    """Thumbnails of stored pictures; those last used are kept in memory. Safe for threads."""

    def __init__(self, images: Images, max_pixels: int = MAX_PIXELS, cache_bytes: int = 32 * 2**20) -> None:
        self.images = images
        self._max_pixels = max_pixels
        self._made = Recent[bytes](cache_bytes, len)
        # A decoded picture takes up to 70 MB, and more at once than cores are no faster.
        self._decoding = threading.BoundedSemaphore(2)

    def get(self, image: ImageHash, width: int) -> bytes:
        """WebP. Raises NotFound, and StoreError when the store is out of reach."""
        key = f"{image}-{width}"
        made = self._made.get(key)
        if made is None:
            png = self.images.get(image)
            with self._decoding:
                made = shrink(png, width, max_pixels=self._max_pixels)
            self._made.put(key, made)
        return made

    def warm(self, images: Iterable[ImageHash], width: int) -> None:
        """Make many at once: most of the time goes into waiting for the store. One that is missing is passed over."""

        def make(image: ImageHash) -> None:
            try:
                self.get(image, width)
            except NotFound:
                return

        with ThreadPoolExecutor(_FETCHERS) as pool:
            list(pool.map(make, images))


def at_least(width: int) -> int:
    """The smallest of WIDTHS that is not below `width`, or the largest."""
    return next((each for each in WIDTHS if each >= width), WIDTHS[-1])
