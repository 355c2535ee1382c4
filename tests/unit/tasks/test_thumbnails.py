"""Thumbnails: bounded in what they unpack, made once, and never in the way of a page."""

import io
from pathlib import Path

import pytest
from PIL import Image

from director.errors import StoreError
from tasks.store import FolderStore, Images, NotFound, Thumbnails
from tasks.store.thumbnails import WIDTHS, at_least, shrink
from tests.support.contexts import plain_png


def size(webp: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(webp), formats=("WEBP",)) as picture:
        return picture.size


@pytest.mark.parametrize(
    ("width", "height", "small"),
    [(512, 640, (256, 320)), (100, 50, (100, 50)), (64, 2048, (32, 1024)), (2048, 64, (256, 8))],
)
def test_a_thumbnail_keeps_its_shape_and_is_never_larger(width: int, height: int, small: tuple[int, int]):
    assert size(shrink(plain_png("red", width, height), 256)) == small


def test_a_picture_too_large_is_not_unpacked():
    with pytest.raises(StoreError, match="400 x 300"):
        shrink(plain_png("red", 400, 300), 64, max_pixels=100_000)


def test_any_mode_of_a_stored_picture_is_shown():
    for mode in ("1", "L", "LA", "RGB", "RGBA"):
        assert size(shrink(plain_png("red", 8, 8, mode), 64)) == (8, 8)


def test_a_thumbnail_is_made_once(tmp_path: Path):
    images = Images(FolderStore(tmp_path), cache_bytes=0)
    image = images.put(plain_png("red", 80, 80))
    thumbnails = Thumbnails(images)
    first = thumbnails.get(image, 64)
    next(tmp_path.rglob(f"{image}.png")).unlink()
    assert thumbnails.get(image, 64) == first
    with pytest.raises(NotFound):
        thumbnails.get(image, 128)


def test_warming_passes_over_what_is_missing(tmp_path: Path):
    images = Images(FolderStore(tmp_path), cache_bytes=0)
    image = images.put(plain_png("red", 80, 80))
    thumbnails = Thumbnails(images)
    thumbnails.warm(["0" * 64, image], 64)
    next(tmp_path.rglob(f"{image}.png")).unlink()
    assert size(thumbnails.get(image, 64)) == (64, 64)


@pytest.mark.parametrize(("asked", "given"), [(1, 64), (64, 64), (65, 128), (1024, 1024), (5000, 1024)])
def test_few_widths_are_made(asked: int, given: int):
    assert at_least(asked) == given
    assert given in WIDTHS
