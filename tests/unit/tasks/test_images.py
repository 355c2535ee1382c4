"""Pictures: one hash for one picture, and nothing harmful gets in."""

import hashlib
import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from director.errors import BriefError, StoreError
from tasks.store import (
    Damaged,
    FolderStore,
    Images,
    NotFound,
    clean_upload,
    image_hash,
    picture_of,
    raster_hash,
    raster_of,
)
from tests.support.icc import cmyk_profile, gray_profile, rgb_profile

MAX_BYTES, MAX_PIXELS = 1_000_000, 100_000


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


class TestHash:
    def test_the_container_does_not_matter(self) -> None:
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Software", "another")
        hashes = {
            image_hash(encoded(picture())),
            image_hash(encoded(picture(), compress_level=0)),
            image_hash(encoded(picture(), pnginfo=notes, dpi=(72, 72))),
        }
        assert len(hashes) == 1

    def test_every_difference_that_can_be_seen_matters(self) -> None:
        other = picture()
        other.putpixel((0, 0), (1, 2, 3))
        pictures = [picture(), other, picture(size=(30, 40)), picture("L"), picture("RGBA"), picture("1")]
        assert len({image_hash(encoded(one)) for one in pictures}) == len(pictures)

    def test_palettes_are_part_of_the_picture(self) -> None:
        red, blue = (Image.new("P", (2, 2)) for _ in range(2))
        red.putpalette([255, 0, 0])
        blue.putpalette([0, 0, 255])
        assert image_hash(encoded(red)) != image_hash(encoded(blue))
        assert image_hash(encoded(red)) == image_hash(encoded(Image.new("RGB", (2, 2), "red")))

    def test_it_is_pinned(self) -> None:
        """Hashes are names in object storage: they must never change."""
        digest = image_hash(encoded(Image.new("RGB", (2, 1), (1, 2, 3))))
        assert digest == hashlib.sha256(b"RGB 2 1\n" + bytes([1, 2, 3, 1, 2, 3])).hexdigest()


UNUSABLE = {
    "empty": b"",
    "text": b"hello",
    "bmp": encoded(picture(), "BMP"),
    "a cut gif": encoded(picture(), "GIF")[:40],
    "a cut tiff": encoded(picture(), "TIFF")[:100],
    "a cut avif": encoded(picture(), "AVIF")[:200],
    "floats": encoded(picture("F"), "TIFF"),
    "truncated": encoded(picture())[:-60],
    "cut in the header": encoded(picture())[:20],
    "broken data": encoded(picture()).replace(b"IDAT", b"IDAT\0\0", 1),
    "no data": png_header(10, 10) + chunk(b"IEND", b""),
    "a bomb": png_header(30_000, 30_000) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""),
    "a large bomb": png_header(10_000, 10_000) + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
    "nothing wide": png_header(0, 10) + chunk(b"IEND", b""),
    "a bomb of text": png_header(1, 1) + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000))),
    "too many pixels": encoded(picture(size=(1_000, 101))),
}


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
@pytest.mark.parametrize("data", UNUSABLE.values(), ids=UNUSABLE)
def test_what_can_not_be_used_is_refused_by_name(data: bytes) -> None:
    for refuse in (lambda: image_hash(data, MAX_PIXELS), lambda: clean_upload(data, MAX_BYTES, MAX_PIXELS)):
        with pytest.raises(BriefError) as caught:
            refuse()
        assert caught.value.field == "image"
        assert caught.value.fix


def pixel(png: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(png)) as image:
        return image.getpixel((0, 0))


SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
SEEDS = [encoded(picture(), kind, icc_profile=rgb_profile()) for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF")]


class TestUpload:
    @pytest.mark.parametrize(
        ("mode", "kind"),
        [("RGB", "PNG"), ("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "WEBP")],
    )
    def test_it_becomes_an_rgb_png(self, mode: str, kind: str) -> None:
        png = clean_upload(encoded(picture(mode), kind), MAX_BYTES, MAX_PIXELS)
        with Image.open(io.BytesIO(png)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (40, 30))
        assert clean_upload(png, MAX_BYTES, MAX_PIXELS) == png

    def test_what_is_clear_becomes_white(self) -> None:
        clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
        clear.putpixel((1, 1), (0, 0, 255, 255))
        with Image.open(io.BytesIO(clean_upload(encoded(clear), MAX_BYTES))) as image:
            assert image.getpixel((0, 0)) == (255, 255, 255)
            assert image.getpixel((1, 1)) == (0, 0, 255)

    def test_it_is_turned_upright_and_loses_its_metadata(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was held on its side
        exif[0x010F] = "a camera that must not be told"
        data = encoded(picture(), "JPEG", exif=exif)
        png = clean_upload(data, MAX_BYTES)
        with Image.open(io.BytesIO(png)) as image:
            assert image.size == (30, 40)
            assert not image.getexif()
        assert b"camera" not in png

    def test_sixteen_bits_are_scaled(self) -> None:
        deep = Image.new("I;16", (2, 2), 0x8000)
        with Image.open(io.BytesIO(clean_upload(encoded(deep), MAX_BYTES))) as image:
            assert image.getpixel((0, 0)) == (128, 128, 128)

    def test_deep_grays_and_half_clear_ones(self) -> None:
        deep = encoded(Image.new("I;16B", (2, 2), 0xFFFF), "TIFF")
        assert pixel(clean_upload(deep, MAX_BYTES)) == (255, 255, 255)
        assert pixel(clean_upload(encoded(Image.new("LA", (2, 2), (0, 128))), MAX_BYTES)) == (127, 127, 127)

    def test_a_palette_may_be_clear(self) -> None:
        data = encoded(Image.new("RGB", (2, 2), "red").quantize(2), transparency=0)
        assert pixel(clean_upload(data, MAX_BYTES)) == (255, 255, 255)

    @pytest.mark.parametrize("kind", ["GIF", "TIFF", "AVIF", "PNG", "WEBP"])
    def test_of_several_frames_it_is_the_first(self, kind: str) -> None:
        frames = [Image.new("RGB", (32, 16), colour) for colour in ("red", "blue", "green")]
        options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "AVIF" else {}
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        red, green, blue = pixel(clean_upload(data, MAX_BYTES))
        assert (red > 250, green < 5, blue < 5) == (True, True, True)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    def test_every_kind_is_turned_upright_once(self, kind: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        left = Image.new("RGB", (40, 24), "black")
        left.paste("white", (0, 0, 20, 24))
        with Image.open(io.BytesIO(clean_upload(encoded(left, kind, exif=exif), MAX_BYTES))) as image:
            assert image.size == (24, 40)
            upper, lower = image.getpixel((12, 5)), image.getpixel((12, 35))
        assert upper > (250, 250, 250)
        assert lower < (5, 5, 5)

    @pytest.mark.parametrize(
        ("start", "message"),
        [
            (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "is HEIC, not PNG, JPEG, WebP, GIF, TIFF or AVIF"),
            (b"BM" + bytes(60), "is BMP, not PNG"),
            (b"%PDF-1.7", "is PDF, not"),
            (b"\xff\x0a" + bytes(20), "is JPEG XL, not"),
            (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "is SVG, not"),
            (b"II*\0", "is a broken TIFF"),
            (b"hello", "is no PNG, JPEG, WebP, GIF, TIFF or AVIF"),
        ],
    )
    def test_another_kind_is_named_with_those_that_are_taken(self, start: bytes, message: str) -> None:
        with pytest.raises(BriefError, match=message):
            clean_upload(start, MAX_BYTES)

    @given(st.integers(0, len(SEEDS) - 1), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8),
           st.integers(0, 3000))  # fmt: skip
    @pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of broken metadata, and reads on
    def test_broken_files_are_read_or_refused(self, seed: int, changes: list[tuple[int, int]], cut: int) -> None:
        data = bytearray(SEEDS[seed])
        for at, value in changes:
            data[at % len(data)] = value
        with suppress(BriefError):
            png = clean_upload(bytes(data[: len(data) - cut % len(data) // 8]), MAX_BYTES, MAX_PIXELS)
            assert image_hash(png, MAX_PIXELS)

    def test_it_must_not_be_large(self) -> None:
        with pytest.raises(BriefError, match="the most is 100") as caught:
            clean_upload(encoded(picture()), 100)
        assert caught.value.field == "image"


def near(found: tuple[int, ...], right: tuple[int, ...], lossy: int = 0) -> bool:
    return all(abs(one - other) <= 2 + lossy for one, other in zip(found, right, strict=True))


def from_adobe(*colour: int) -> tuple[int, ...]:
    """Adobe RGB (1998) as sRGB, by the two standards."""
    red, green, blue = ((value / 255) ** (563 / 256) for value in colour)
    linear = (1.39836 * red - 0.39836 * green, green, 1.04293 * blue - 0.04293 * green)
    clipped = (min(1.0, max(0.0, value)) for value in linear)
    return tuple(
        round(255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)) for value in clipped
    )


class TestColours:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
    @pytest.mark.parametrize("adobe", [(200, 30, 30), (128, 128, 128), (60, 90, 180), (10, 200, 90), (255, 255, 255)])
    def test_they_are_converted_not_relabelled(self, kind: str, adobe: tuple[int, int, int]) -> None:
        options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind in ("AVIF", "JPEG") else {}
        data = encoded(Image.new("RGB", (16, 16), adobe), kind, icc_profile=rgb_profile(), **options)
        lossy = 3 if kind == "AVIF" else 0
        assert near(pixel(clean_upload(data, MAX_BYTES)), from_adobe(*adobe), lossy)

    def test_the_hash_is_that_of_the_converted_pixels(self) -> None:
        tagged = encoded(Image.new("RGB", (4, 4), (200, 30, 30)), icc_profile=rgb_profile())
        png = clean_upload(tagged, MAX_BYTES)
        assert image_hash(png) == image_hash(encoded(Image.new("RGB", (4, 4), pixel(png))))
        assert b"iCCP" not in png
        assert clean_upload(png, MAX_BYTES) == png

    @pytest.mark.parametrize(("kind", "mode"), [("JPEG", "CMYK"), ("TIFF", "CMYK")])
    def test_inks_are_what_their_profile_says(self, kind: str, mode: str) -> None:
        cyan = Image.new(mode, (16, 16), (255, 0, 0, 0))
        data = encoded(cyan, kind, icc_profile=cmyk_profile(137))
        assert near(pixel(clean_upload(data, MAX_BYTES)), (128, 128, 128))
        assert pixel(clean_upload(encoded(cyan, kind), MAX_BYTES))[0] < 5  # without one, plain arithmetic

    @pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
    def test_grays_have_profiles_too(self, mode: str) -> None:
        gray = {"L": 128, "LA": (128, 255), "I;16": 128 << 8}[mode]
        data = encoded(Image.new(mode, (4, 4), gray), icc_profile=gray_profile(1.0))
        assert near(pixel(clean_upload(data, MAX_BYTES)), (188, 188, 188))

    def test_clear_pixels_and_palettes_keep_their_part(self) -> None:
        half = encoded(Image.new("RGBA", (4, 4), (200, 30, 30, 0)), icc_profile=rgb_profile())
        assert pixel(clean_upload(half, MAX_BYTES)) == (255, 255, 255)
        palette = Image.new("RGB", (4, 4), (200, 30, 30)).quantize(2)
        data = encoded(palette, icc_profile=rgb_profile())
        assert near(pixel(clean_upload(data, MAX_BYTES)), from_adobe(200, 30, 30))

    def test_srgb_stays_as_it_is_whatever_it_is_called(self) -> None:
        for profile in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), rgb_profile(SRGB, 2.2)):
            # Darker ones differ by more than a little between sRGB's own curve and the power of 2.2.
            shown = Image.new("RGB", (32, 32), (180, 120, 90))
            assert near(pixel(clean_upload(encoded(shown, icc_profile=profile), MAX_BYTES)), (180, 120, 90))

    @pytest.mark.parametrize(
        "profile",
        [b"junk" * 50, rgb_profile()[:200], rgb_profile()[:132], gray_profile(1.0), cmyk_profile(100), b"\0",
         rgb_profile().replace(b"curv", b"xxxx"), rgb_profile().replace(b"rXYZ", b"qXYZ")],
    )  # fmt: skip
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    def test_a_profile_that_can_not_be_used_is_ignored(self, profile: bytes, kind: str) -> None:
        data = encoded(Image.new("RGB", (16, 16), (200, 30, 30)), kind, icc_profile=profile)
        assert near(pixel(clean_upload(data, MAX_BYTES)), (200, 30, 30))


class TestImages:
    def test_a_picture_is_found_by_its_hash(self, tmp_path: Path) -> None:
        images, png = Images(FolderStore(tmp_path)), encoded(picture())
        image = images.put(png)
        assert image == image_hash(png)
        assert images.has(image)
        assert Images(FolderStore(tmp_path)).get(image) == png
        assert (tmp_path / "images" / f"{image}.png").read_bytes() == png

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        images = Images(FolderStore(tmp_path))
        assert not images.has("0" * 64)
        with pytest.raises(NotFound):
            images.get("0" * 64)

    def test_only_pngs_are_stored(self, tmp_path: Path) -> None:
        with pytest.raises(BriefError, match="PNG"):
            Images(FolderStore(tmp_path)).put(encoded(picture(), "JPEG"))

    def test_the_last_ones_are_kept_in_memory(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path)
        pngs = [encoded(Image.effect_noise((64, 64), i + 10)) for i in range(3)]
        images = Images(store, cache_bytes=len(pngs[1]) + len(pngs[2]) + 100)
        first, second, third = (images.put(png) for png in pngs)
        for image in (first, second, third):
            store.delete(f"images/{image}.png")
        assert images.get(second) == pngs[1]
        assert images.get(third) == pngs[2]
        with pytest.raises(StoreError):
            images.get(first)

    @pytest.mark.parametrize(
        "data",
        [b"", b"hello", encoded(picture("L")), encoded(picture())[:-60]],
        ids=["empty", "text", "another", "cut"],
    )
    def test_what_is_not_the_picture_of_its_hash_is_damaged(self, tmp_path: Path, data: bytes) -> None:
        store = FolderStore(tmp_path)
        image = Images(store).put(encoded(picture()))
        store.put(f"images/{image}.png", data)
        with pytest.raises(Damaged, match=image) as caught:
            Images(store).get(image)
        assert caught.value.key == f"images/{image}.png"

    def test_a_reader_that_was_cut_short_asks_again(self, tmp_path: Path) -> None:
        class CutOnce(FolderStore):
            cut = True

            def get(self, key: str) -> bytes:
                data, cut = super().get(key), self.cut
                self.cut = False
                return data[:40] if cut else data

        png = encoded(picture())
        image = Images(FolderStore(tmp_path)).put(png)
        assert Images(CutOnce(tmp_path)).get(image) == png

    def test_it_is_read_and_decoded_once_in_a_process(self, tmp_path: Path) -> None:
        store, png = FolderStore(tmp_path), encoded(picture())
        image = Images(store).put(png)
        images = Images(store)
        raster = images.raster(image)
        assert picture_of(raster).tobytes() == picture().tobytes()
        store.delete(f"images/{image}.png")
        assert images.raster(image) is raster
        assert images.get(image) == png

    def test_pixels_in_hand_are_what_their_png_is(self, tmp_path: Path) -> None:
        images, png = Images(FolderStore(tmp_path)), encoded(picture(), compress_level=1)
        raster = raster_of(png)
        image = images.put_raster(raster, lambda: png)
        assert image == image_hash(png) == raster_hash(raster)
        assert images.raster(image) is raster
        assert (tmp_path / "images" / f"{image}.png").read_bytes() == png

    def test_pixels_of_a_picture_that_is_not_there_or_damaged(self, tmp_path: Path) -> None:
        store = FolderStore(tmp_path)
        with pytest.raises(NotFound):
            Images(store).raster("0" * 64)
        image = Images(store).put(encoded(picture()))
        store.put(f"images/{image}.png", encoded(picture("L")))
        with pytest.raises(Damaged, match=image):
            Images(store).raster(image)
