"""Pictures by what they show: the hash is that of mode, size and raw pixels; PNG is only the container."""

import hashlib
import io
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from typing import Any, cast

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features

from director.errors import BriefError
from director.seats import Raster
from tasks.store.objects import Damaged, Store
from tasks.store.plain import Item
from tasks.store.recent import Recent

MAX_PIXELS = 16_777_216
_PLAIN = frozenset({"1", "L", "LA", "RGB", "RGBA"})
_CACHE_BYTES = 64 * 2**20
_RASTER_BYTES = 64 * 2**20
_UNREADABLE = (
    OSError, SyntaxError, ValueError, RuntimeError, EOFError, IndexError, OverflowError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow raises for files that are broken, truncated or made to harm."""


class Images:
    """`director.seats.Images` over a store; pictures last used are kept in memory, and their pixels if asked for."""

    def __init__(self, store: Store, max_pixels: int = MAX_PIXELS, cache_bytes: int = _CACHE_BYTES) -> None:
        self._store = store
        self._max_pixels = max_pixels
        self._recent = Recent[bytes](cache_bytes, len)
        self._rasters = Recent[Raster](_RASTER_BYTES, lambda raster: len(raster.data))
        # A decoded picture takes up to 70 MB.
        self._checking = threading.BoundedSemaphore(2)

    def listed(self) -> Iterator[Item]:
        """The stored pictures."""
        return self._store.items("images/")

    def get(self, image: str) -> bytes:
        """The PNG, which shows what its hash says.

        Raises Damaged, NotFound, and StoreError when the store is out of reach.
        """
        png = self._recent.get(image)
        if png is None:
            png, _ = self._fetched(image)
            self._recent.put(image, png)
        return png

    def raster(self, image: str) -> Raster:
        """Its pixels. Raises as `get` does."""
        raster = self._rasters.get(image)
        if raster is None:
            png = self._recent.get(image)
            if png is None:
                png, raster = self._fetched(image)
                self._recent.put(image, png)
            else:
                with self._checking:
                    raster = raster_of(png, max(self._max_pixels, MAX_PIXELS))
            self._rasters.put(image, raster)
        return raster

    def _fetched(self, image: str) -> tuple[bytes, Raster]:
        """From the store. It is asked twice before a picture counts as damaged: an answer may be cut on its way."""
        key = _key(image)
        for _ in range(2):
            png = self._store.get(key)
            with self._checking, suppress(BriefError):
                raster = raster_of(png, max(self._max_pixels, MAX_PIXELS))
                if raster_hash(raster) == image:
                    return png, raster
        raise Damaged(f"{key} is not the picture that was stored under this name", key=key)

    def put(self, png: bytes) -> str:
        """Store a PNG and give its hash. Raises BriefError when it is none."""
        image = image_hash(png, self._max_pixels)
        self.put_as(image, png)
        return image

    def put_raster(self, raster: Raster, encode: Callable[[], bytes]) -> str:
        """Store pixels as the PNG that `encode` gives; gives their hash. Raises BriefError when they are too many."""
        image = self.named(raster)
        self.put_as(image, encode())
        return image

    def named(self, raster: Raster) -> str:
        """The hash of pixels that are about to be stored. Raises BriefError when they are too many."""
        _check_size(raster.width, raster.height, self._max_pixels)
        image = raster_hash(raster)
        self._rasters.put(image, raster)
        return image

    def put_as(self, image: str, png: bytes) -> None:
        """Store the PNG of the picture whose hash is `image`."""
        self._store.put(_key(image), png)
        self._recent.put(image, png)

    def has(self, image: str) -> bool:
        """True when the picture is stored."""
        return self._store.exists(_key(image))


def image_hash(png: bytes, max_pixels: int = MAX_PIXELS) -> str:
    """sha256 over mode, size and raw pixels, as hex: the same for any PNG of the same picture.

    Raises BriefError naming `image` when it is no whole PNG or has more than `max_pixels`.
    """
    return raster_hash(raster_of(png, max_pixels))


def raster_hash(raster: Raster) -> str:
    """The same, of pixels in hand."""
    digest = hashlib.sha256(f"{raster.mode} {raster.width} {raster.height}\n".encode())
    digest.update(raster.data)
    return digest.hexdigest()


def raster_of(png: bytes, max_pixels: int = MAX_PIXELS) -> Raster:
    """The pixels of a PNG as they are hashed. Raises as `image_hash` does."""
    picture = _decode(png, max_pixels, ("PNG",), _plain)
    return Raster(picture.mode, picture.width, picture.height, picture.tobytes())


def picture_of(raster: Raster) -> Image.Image:
    """For Pillow."""
    return Image.frombytes(raster.mode, (raster.width, raster.height), raster.data)


def clean_upload(data: bytes, max_bytes: int, max_pixels: int = MAX_PIXELS) -> bytes:
    """Any PNG, JPEG, WebP, GIF, TIFF or AVIF as an RGB PNG: upright, in sRGB, on white where it was clear, bare.

    Of an animation or of several pages it is the first. HEIC is taken where pillow-heif is installed. Raises
    BriefError naming `image` when it is too large, broken, or of another kind.
    """
    if len(data) > max_bytes:
        raise BriefError(
            f"the picture has {len(data):,} bytes; the most is {max_bytes:,}", "send a smaller file", "image"
        )
    picture = _decode(data, max_pixels, _upload_formats(), _in_srgb)
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


@cache
def _upload_formats() -> tuple[str, ...]:
    """Those that this machine's Pillow can read, by Pillow's names."""
    formats = ["PNG", "JPEG", "WEBP", "GIF", "TIFF"]
    if features.check("avif"):
        formats.append("AVIF")
    if find_spec("pillow_heif"):
        import_module("pillow_heif").register_heif_opener()
        formats.append("HEIF")
    return tuple(formats)


def _decode(
    data: bytes, max_pixels: int, formats: tuple[str, ...], finish: Callable[[Image.Image], Image.Image]
) -> Image.Image:
    """The picture, upright and finished. The header is checked before anything is unpacked."""
    try:
        with Image.open(io.BytesIO(data), formats=formats) as opened:
            _check_size(opened.width, opened.height, max_pixels)
            opened.load()
            return finish(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as error:
        raise BriefError(_refusal(data, formats), "convert it to PNG", "image") from error
    except _UNREADABLE as error:
        raise BriefError(f"the picture can't be read: {error}"[:300], "save it again as PNG", "image") from error


def _check_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise BriefError(f"the picture is {width} x {height}; the most is {most:,} pixels", "scale it down", "image")


_KINDS = (
    (r"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC"), (r"....ftypavi[fs]", "AVIF"),
    (r"\xff\x0a|....JXL ", "JPEG XL"), (r"....jP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (r"\x89PNG", "PNG"), (r"\xff\xd8\xff", "JPEG"), (r"RIFF....WEBP", "WebP"), (r"GIF8", "GIF"),
    (r"II\*\x00|MM\x00\*", "TIFF"),
    (r"\s*(<\?xml.{,999})?<svg", "SVG"), (r"%PDF", "PDF"), (r"8BPS", "PSD"), (r"BM", "BMP"),
    (r"\x00\x00\x01\x00", "ICO"), (r"\x76\x2f\x31\x01", "OpenEXR"), (r"%!PS", "PostScript"), (r"....ftyp", "a video"),
)  # fmt: skip
"""How files begin, also of kinds that are not taken, to name them."""


def _refusal(data: bytes, formats: tuple[str, ...]) -> str:
    start = data[:1200].removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    kind = next((kind for pattern, kind in _KINDS if re.match(pattern, start, re.DOTALL)), None)
    names = [{"WEBP": "WebP", "HEIF": "HEIC"}.get(name, name) for name in formats]
    if kind in names:
        return f"the picture is a broken {kind}"
    taken = f"{', '.join(names[:-1])} or {names[-1]}" if names[1:] else names[0]
    return f"the picture is {kind}, not {taken}" if kind else f"the picture is no {taken}"


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode in _PLAIN:
        return picture
    if picture.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, not scale them
        return picture.convert("I").point(lambda value: value / 256).convert("L")
    if picture.mode in ("I", "F"):
        raise ValueError("it has 32 bits a channel")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _in_srgb(picture: Image.Image) -> Image.Image:
    """`_plain`, its colours converted from the profile that is embedded. One that can't be used is ignored."""
    embedded = picture.info.get("icc_profile")
    try:
        converted = _converted(picture, embedded) if embedded else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = None
    if converted is None:
        return _plain(picture)
    if picture.has_transparency_data:
        converted.putalpha(picture.convert("RGBA").getchannel("A"))
    return converted


def _converted(picture: Image.Image, embedded: bytes) -> Image.Image | None:
    """Colours as sRGB; None when the profile is of another colour space or says sRGB."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
    space = embedded[16:20]
    is_gray = picture.mode in ("1", "L", "LA") or picture.mode.startswith("I;16")
    if space == b"CMYK" and picture.mode == "CMYK":
        return _to_srgb(picture, profile)
    if space == b"GRAY" and is_gray:
        return _to_srgb(_plain(picture).convert("L"), profile)
    if space == b"RGB " and picture.mode != "CMYK":
        return None if _is_srgb(profile) else _to_srgb(_plain(picture).convert("RGB"), profile)
    return None


def _to_srgb(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.ImageCmsProfile(cast(Any, ImageCms.createProfile("sRGB")))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(profile, srgb, picture.mode, "RGB", intent).apply(picture)


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Tried on a cube of colours, as names of profiles mislead: what is sRGB already keeps its pixels."""
    cube = bytes(51 * level for colour in product(range(6), repeat=3) for level in colour)
    converted = _to_srgb(Image.frombytes("RGB", (216, 1), cube), profile).tobytes()
    return max(abs(one - other) for one, other in zip(cube, converted, strict=True)) <= 2


def _key(image: str) -> str:
    return f"images/{image}.png"
