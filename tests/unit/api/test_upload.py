import struct
import zlib
from io import BytesIO

import httpx
import pytest
from PIL import Image

from tests.support.api import ALICE, House, browse, png


def named(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    [error] = response.json()["errors"]
    assert error["field"] == "image"
    return error["message"]


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_picture_is_stored_by_its_hash(house: House, alice: httpx.Client) -> None:
    answer = alice.put("/v1/images", content=png(12, 9)).json()
    assert (answer["width"], answer["height"]) == (12, 9)
    assert house.images.has(answer["image"])
    assert alice.put("/v1/images", content=png(12, 9)).json() == answer


def test_what_is_stored_is_plain_pixels(house: House, alice: httpx.Client) -> None:
    output = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010E] = "a secret place"
    Image.new("RGB", (16, 8), "red").save(output, "JPEG", exif=exif)
    answer = alice.put("/v1/images", content=output.getvalue()).json()
    assert (answer["width"], answer["height"]) == (8, 16)
    assert b"secret" not in house.images.get(answer["image"])


def test_a_bomb_is_refused_before_it_is_unpacked(alice: httpx.Client) -> None:
    assert "8000 x 8000" in named(alice.put("/v1/images", content=bomb(8_000, 8_000)), 422)
    assert "decompression bomb" in named(alice.put("/v1/images", content=bomb(50_000, 50_000)), 422)


@pytest.mark.parametrize("cut", [0, 8, 30, 60])
def test_a_truncated_picture_is_refused(alice: httpx.Client, cut: int) -> None:
    assert "the picture" in named(alice.put("/v1/images", content=png(64, 64)[:cut]), 422)


def test_what_is_no_picture_is_refused(alice: httpx.Client) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://169.254.169.254/"/></svg>'
    assert (
        named(alice.put("/v1/images", content=svg), 422) == "the picture is SVG, not PNG, JPEG, WebP, GIF, TIFF or AVIF"
    )


def test_the_limits_are_those_of_the_settings(house: House) -> None:
    with browse(house.app(max_image_bytes=2000, max_image_pixels=4096), **ALICE) as client:
        assert client.put("/v1/images", content=png(64, 64)).status_code == 200
        assert "65 x 64" in named(client.put("/v1/images", content=png(65, 64)), 422)
        assert named(client.put("/v1/images", content=b"x" * 2001), 413) == "must have at most 2000 bytes"
