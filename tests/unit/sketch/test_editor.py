import hashlib
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from director.types import Outcome, Region
from tests.unit.sketch.host import STUDIO, SketchContext, drawn, outcomes
from worker.sketch import draw, model_names, sketch_studio

SCENE = "\n".join(
    [
        "Add a large red apple in the centre",
        "Add a blue car on the left",
        "Set the text 'OPEN DAILY' in bold capitals across the top",
        "Film grain (20%)",
        "Background in pale blue",
    ]
)


def test_the_same_inputs_give_the_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib; from tests.unit.sketch.host import drawn; from tests.unit.sketch.test_editor import SCENE; "
        "print(hashlib.sha256(drawn(SCENE, model='flux-krea', seeds=(7,), size=(256, 256))[0]).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    here = hashlib.sha256(drawn(SCENE, model="flux-krea", seeds=(7,), size=(256, 256))[0]).hexdigest()
    assert other.stdout.strip() == here


def test_seeds_differ_and_sizes_are_kept() -> None:
    one, two = drawn(SCENE, seeds=(1, 2), size=(320, 256))
    assert one != two
    assert Image.open(BytesIO(one)).size == (320, 256)


def test_no_metadata() -> None:
    assert Image.open(BytesIO(drawn(SCENE)[0])).info == {}


def test_models() -> None:
    assert model_names() == ("flux-dev", "flux-kontext", "flux-krea", "perfect", "qwen-image")
    with pytest.raises(ValueError, match="flux-krea, perfect"):
        sketch_studio("dall-e")


@pytest.mark.parametrize("model", ["perfect", "flux-krea"])
@pytest.mark.parametrize(
    "instruction",
    [
        "Add a green tree",
        "Palette of rust, cream and teal",
        "Warm light from the left",
        "The apple is green",
        "Remove the car",
        "Set the text 'HELLO' at the top",
    ],
)
def test_an_edit_stays_inside_its_mask(instruction: str, model: str) -> None:
    base = drawn(SCENE)[0]
    region = Region(x0=0.013, y0=0.1, x1=0.617, y1=0.913)
    before = draw.pixels(draw.from_png(base))
    after = draw.pixels(draw.from_png(drawn(instruction, base=base, region=region, model=model, seeds=(3,))[0]))
    height, width = before.shape[:2]
    ys, xs = np.arange(height)[:, None], np.arange(width)[None]
    outside = (
        (xs < region.x0 * width)
        | (xs + 1 > region.x1 * width)
        | (ys < region.y0 * height)
        | (ys + 1 > region.y1 * height)
    )
    assert np.array_equal(before[outside], after[outside])


@pytest.mark.parametrize(
    ("instruction", "goals"),
    [
        ("Add a yellow umbrella on the right", ("Add a yellow umbrella on the right",)),
        ("Set the text 'BACK SOON' along the bottom edge", ("Include the text 'BACK SOON' along the bottom edge",)),
        ("The apple is green", ("The apple is green",)),
        ("Background in mint green", ("Background in mint green",)),
        ("Saturation at 30%", ("Saturation at 30%",)),
        ("Steady diagonal rain", ("Steady diagonal rain",)),
        ("Light from the right", ("Light from the right",)),
    ],
)
def test_edits_of_pixels_alone(instruction: str, goals: tuple[str, ...]) -> None:
    edited = drawn(instruction, base=drawn(SCENE)[0])[0]
    assert outcomes(edited, *goals) == [Outcome.MET] * len(goals)
    if "apple" not in instruction and "Saturation" not in instruction:
        assert outcomes(edited, "Add a red apple", "Add a blue car") == [Outcome.MET, Outcome.MET]


def test_removing_leaves_the_rest() -> None:
    edited = drawn("Remove the car", base=drawn(SCENE)[0])[0]
    assert outcomes(edited, "Add a blue car", "Add a red apple", "Remove the car") == [
        Outcome.MISSED,
        Outcome.MET,
        Outcome.MET,
    ]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_a_users_photo_of_any_mode_and_size(mode: str) -> None:
    noise = np.random.default_rng(1).integers(90, 160, (117, 203), np.uint8)
    picture = Image.fromarray(np.asarray(Image.fromarray(noise).resize((203, 117)), np.uint8))
    out = BytesIO()
    if mode in ("I;16", "F"):
        Image.fromarray(noise.astype(np.uint16 if mode == "I;16" else np.float32)).save(
            out, "PNG" if mode == "I;16" else "TIFF"
        )
    else:
        picture.convert("RGB").convert(mode).save(out, "TIFF" if mode == "CMYK" else "PNG")
    edited = drawn("Add a red kite. Film grain (10%)", base=out.getvalue())[0]
    assert Image.open(BytesIO(edited)).size == (203, 117)
    assert Image.open(BytesIO(edited)).mode == "RGB"


@pytest.mark.parametrize(
    "instruction",
    ["x" * 10_000, "<b>red</b> \x00 cat", "\u202eevil\u202c dog", "Set the text '日本語' at the top", "…"],
)
def test_hostile_instructions_draw_something(instruction: str) -> None:
    assert drawn(instruction, size=(128, 128), model="flux-krea")[0].startswith(b"\x89PNG")


def test_cancelling_is_asked_for_between_candidates() -> None:
    asked: list[int] = []

    class Counting(SketchContext):
        def check(self) -> None:
            asked.append(1)

    from director.seats import RenderRequest
    from director.types import Action, ActionKind

    action = Action(kind=ActionKind.GENERATE, instruction="Add a cat", targets=())
    STUDIO.editor.render(
        RenderRequest(model="perfect", action=action, seeds=(1, 2, 3), width=128, height=128), Counting()
    )
    assert len(asked) >= 3
