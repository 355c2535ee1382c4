"""Pictures as JPEG, and as PDF pages for a printer. Pillow does it, which is imported only when it is asked for."""

import argparse
import io
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from director.errors import BriefError

if TYPE_CHECKING:
    from PIL import Image

QUALITY = 95
_MM = 25.4
_MAX_BLEED, _MAX_DPI = 50.0, 2400


class Form(NamedTuple):
    """How pictures are saved: the ending of their names, and what makes it of a PNG."""

    ending: str
    made: Callable[[bytes], bytes]


def _as_it_is(png: bytes) -> bytes:
    return png


PNG = Form("png", _as_it_is)


def form_of(args: argparse.Namespace) -> Form:
    """What --jpeg or --pdf ask for. Raises BriefError."""
    if args.jpeg and args.pdf:
        raise BriefError("a picture is saved in one form", "give --jpeg or --pdf", "--pdf")
    if not args.pdf and (args.bleed is not None or args.dpi is not None):
        raise BriefError(
            "--bleed and --dpi are for --pdf", "add --pdf", "--bleed" if args.bleed is not None else "--dpi"
        )
    if not args.jpeg and not args.pdf:
        return PNG
    if not find_spec("PIL"):
        raise BriefError(
            "this needs Pillow", "pip install 'visiondirector-client[pictures]'", "--pdf" if args.pdf else "--jpeg"
        )
    if args.jpeg:
        return Form("jpg", jpeg)
    return Form("pdf", _page(args))


def _page(args: argparse.Namespace) -> Callable[[bytes], bytes]:
    bleed, dpi = 3.0 if args.bleed is None else args.bleed, 300 if args.dpi is None else args.dpi
    if not 0 <= bleed <= _MAX_BLEED:
        raise BriefError(f"{bleed:g} mm is no bleed", f"give 0 to {_MAX_BLEED:g} millimetres", "--bleed")
    if not 36 <= dpi <= _MAX_DPI:
        raise BriefError(f"{dpi} pixels an inch can't be printed", f"give 36 to {_MAX_DPI}", "--dpi")
    return partial(pdf, bleed_mm=bleed, dpi=dpi)


def jpeg(png: bytes) -> bytes:
    out = io.BytesIO()
    _opened(png).save(out, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return out.getvalue()


def pdf(png: bytes, bleed_mm: float, dpi: int) -> bytes:
    """One page, larger than the picture by the bleed on each side, into which the picture is mirrored.

    TrimBox says where the page is cut, BleedBox how far the colour goes: all of it.
    """
    from PIL import PdfParser

    picture = _opened(png)
    pixels = min(round(bleed_mm / _MM * dpi), *picture.size)
    page = mirrored(picture, pixels)
    out = io.BytesIO()
    page.save(out, "PDF", resolution=float(dpi), quality=QUALITY)
    # Pillow writes no boxes: the page is written again behind the end of the file, as PDF lets one.
    points = 72 / dpi
    width, height, edge = page.width * points, page.height * points, pixels * points
    boxes = {"BleedBox": [0, 0, width, height], "TrimBox": [edge, edge, width - edge, height - edge]}
    with PdfParser.PdfParser(f=out) as parser:
        [reference] = parser.pages
        stored = {name.name_as_str(): value for name, value in parser.read_indirect(reference).items()}
        parser.start_writing()
        parser.write_page(reference, **stored, **boxes)
        parser.write_xref_and_trailer()
        return out.getvalue()


def mirrored(picture: "Image.Image", edge: int) -> "Image.Image":
    """The picture with `edge` more pixels on each side, as a mirror there would show it."""
    from PIL import Image

    flips = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM
    for (dx, dy), flip in zip(((edge, 0), (0, edge)), flips, strict=True):
        w, h = picture.size
        wider = Image.new("RGB", (w + 2 * dx, h + 2 * dy))
        wider.paste(picture, (dx, dy))
        first = (0, 0, dx or w, dy or h)
        last = (w - dx if dx else 0, h - dy if dy else 0, w, h)
        if edge:
            wider.paste(picture.crop(first).transpose(flip), (0, 0))
            wider.paste(picture.crop(last).transpose(flip), (w + dx if dx else 0, h + dy if dy else 0))
        picture = wider
    return picture


def _opened(png: bytes) -> "Image.Image":
    from PIL import Image

    with Image.open(io.BytesIO(png), formats=("PNG",)) as stored:
        return stored.convert("RGB")
