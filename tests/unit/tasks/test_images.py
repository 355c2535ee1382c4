"""Pictures: one hash for one picture, and nothing harmful gets in."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from director.errors import BriefError, StoreError
from tasks.store import Damaged, FolderStore, Images, NotFound, clean_upload, image_hash

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
    "gif": encoded(picture(), "GIF"),
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


@pytest.mark.parametrize("data", UNUSABLE.values(), ids=UNUSABLE)
def test_what_can_not_be_used_is_refused_by_name(data: bytes) -> None:
    for refuse in (lambda: image_hash(data, MAX_PIXELS), lambda: clean_upload(data, MAX_BYTES, MAX_PIXELS)):
        with pytest.raises(BriefError) as caught:
            refuse()
        assert caught.value.field == "image"
        assert caught.value.fix


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

    def test_it_must_not_be_large(self) -> None:
        with pytest.raises(BriefError, match="the most is 100") as caught:
            clean_upload(encoded(picture()), 100)
        assert caught.value.field == "image"


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
