"""Small ICC profiles, written here: what a test needs of them, and nobody's licence."""

import struct
from itertools import product

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""XYZ under D50 of red, green and blue, as Adobe RGB (1998) gives them."""
_D50 = (0.9642, 1.0, 0.8249)


def rgb_profile(primaries: tuple[tuple[float, float, float], ...] = ADOBE_RGB, gamma: float = 563 / 256) -> bytes:
    """A matrix profile."""
    curves = {f"{name}TRC": _curve(gamma) for name in "rgb"}
    columns = {f"{name}XYZ": _xyz(column) for name, column in zip("rgb", primaries, strict=True)}
    return _profile(b"mntr", b"RGB ", b"XYZ ", {**columns, **curves})


def gray_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {"kTRC": _curve(gamma)})


def cmyk_profile(lightness: int) -> bytes:
    """White paper (255 is L* = 100), and every ink or mixture of inks is the same gray of this lightness."""
    corners = b"".join(bytes([lightness if any(inks) else 255, 128, 128]) for inks in product((0, 1), repeat=4))
    identity = [struct.pack(">i", 65536 * (row == column)) for row in range(3) for column in range(3)]
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(identity) + bytes(range(256)) * 4 + corners
    return _profile(b"prtr", b"CMYK", b"Lab ", {"A2B0": table + bytes(range(256)) * 3})


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(65536 * value)) for value in values)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma)) + bytes(2)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[str, bytes]) -> bytes:
    tags = {**tags, "wtpt": _xyz(_D50)}
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name.encode() + struct.pack(">II", start + len(body), len(data))
        body += padded
    header = struct.pack(
        ">I4sI4s4s4s12s4s4s12s8sI12s4s44s",
        start + len(body), b"", 0x02400000, kind, space, connection, b"", b"acsp",
        b"", b"", b"", 0, _xyz(_D50)[8:], b"", b"",
    )  # fmt: skip
    return header + struct.pack(">I", len(tags)) + table + body
