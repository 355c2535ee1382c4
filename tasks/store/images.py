"""Pictures by what they show: the hash is that of mode, size and raw pixels; PNG is only the container."""

import hashlib
import io
import struct
import threading
import zlib

from PIL import Image, ImageOps, UnidentifiedImageError

from director.errors import BriefError
from tasks.store.objects import Damaged, Store
from tasks.store.recent import Recent

MAX_PIXELS = 16_777_216
_PLAIN = frozenset({"1", "L", "LA", "RGB", "RGBA"})
_CACHE_BYTES = 64 * 2**20
_UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow raises for files that are broken, truncated or made to harm."""


class Images:
    """`director.seats.Images` over a store; pictures last used are kept in memory."""

    def __init__(self, store: Store, max_pixels: int = MAX_PIXELS, cache_bytes: int = _CACHE_BYTES) -> None:
        self._store = store
        self._max_pixels = max_pixels
        self._recent = Recent[bytes](cache_bytes, len)
        # A decoded picture takes up to 70 MB.
        self._checking = threading.BoundedSemaphore(2)

    def get(self, image: str) -> bytes:
        """The PNG, which shows what its hash says.

        Raises Damaged, NotFound, and StoreError when the store is out of reach.
        """
        png = self._recent.get(image)
        if png is None:
            png = self._fetched(image)
            self._recent.put(image, png)
        return png

    def _fetched(self, image: str) -> bytes:
        """From the store. It is asked twice before a picture counts as damaged: an answer may be cut on its way."""
        key = _key(image)
        for _ in range(2):
            png = self._store.get(key)
            with self._checking:
                if self._shows(png, image):
                    return png
        raise Damaged(f"{key} is not the picture that was stored under this name", key=key)

    def _shows(self, png: bytes, image: str) -> bool:
        try:
            return image_hash(png, max(self._max_pixels, MAX_PIXELS)) == image
        except BriefError:
            return False

    def put(self, png: bytes) -> str:
        """Store a PNG and give its hash. Raises BriefError when it is none."""
        image = image_hash(png, self._max_pixels)
        self._store.put(_key(image), png)
        self._recent.put(image, png)
        return image

    def has(self, image: str) -> bool:
        """True when the picture is stored."""
        return self._store.exists(_key(image))


def image_hash(png: bytes, max_pixels: int = MAX_PIXELS) -> str:
    """sha256 over mode, size and raw pixels, as hex: the same for any PNG of the same picture.

    Raises BriefError naming `image` when it is no whole PNG or has more than `max_pixels`.
    """
    picture = _decode(png, max_pixels, ("PNG",))
    digest = hashlib.sha256(f"{picture.mode} {picture.width} {picture.height}\n".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def clean_upload(data: bytes, max_bytes: int, max_pixels: int = MAX_PIXELS) -> bytes:
    """Any PNG, JPEG or WebP as an RGB PNG: upright, on white where it was clear, without metadata.

    Raises BriefError naming `image` when it is too large, broken, or of another kind.
    """
    if len(data) > max_bytes:
        raise BriefError(
            f"the picture has {len(data):,} bytes; the most is {max_bytes:,}", "send a smaller file", "image"
        )
    picture = _decode(data, max_pixels, ("PNG", "JPEG", "WEBP"))
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Image.new("RGBA", clear.size, "white")
        picture.alpha_composite(clear)
    # A new picture takes the pixels only: text chunks, EXIF and profiles stay behind.
    plain = Image.new("RGB", picture.size)
    plain.paste(picture.convert("RGB"))
    output = io.BytesIO()
    plain.save(output, "PNG", compress_level=6)
    return output.getvalue()


def _decode(data: bytes, max_pixels: int, formats: tuple[str, ...]) -> Image.Image:
    """The picture, upright and in a mode of `_PLAIN`. The header is checked before anything is unpacked."""
    try:
        with Image.open(io.BytesIO(data), formats=formats) as opened:
            if opened.width * opened.height > max_pixels:
                raise BriefError(
                    f"the picture is {opened.width} x {opened.height}; the most is {max_pixels:,} pixels",
                    "scale it down",
                    "image",
                )
            opened.load()
            return _plain(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as error:
        raise BriefError("the picture is no " + " or ".join(formats), "convert it to PNG", "image") from error
    except _UNREADABLE as error:
        raise BriefError(f"the picture can't be read: {error}"[:300], "save it again as PNG", "image") from error


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode in _PLAIN:
        return picture
    if picture.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, not scale them
        return picture.convert("I").point(lambda value: value / 256).convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _key(image: str) -> str:
    return f"images/{image}.png"
