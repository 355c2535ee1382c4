"""The measure of what an edit did outside its region. It must see small leaks, and call nothing nothing."""

import numpy as np
import pytest
from PIL import Image

from director.seats import Context, VerifyRequest
from director.types import Preservation, Region, Verified
from tests.support.contexts import PlainContext
from tests.support.scripted_studio import goals_of
from worker.diffusion.canvas import Pixels, composited, to_png
from worker.diffusion.preservation import MeasuringVerifier, preservation

REGION = Region(x0=0.25, y0=0.25, x1=0.75, y1=0.75)
NOTHING = Preservation(min_ssim=1.0, p999_delta_e=0.0, changed_share=0.0)


def picture(side: int = 128) -> Pixels:
    """Smooth random colours."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC), np.uint8).copy()


def measured(before: Pixels, after: Pixels, region: Region | None) -> Preservation:
    return preservation(before, after, region)


def test_an_edit_that_stays_inside_moved_nothing():
    before = picture()
    after = composited(before, 255 - before, (32, 32, 96, 96), 4)
    assert measured(before, after, REGION) == NOTHING


def test_the_same_picture_moved_nothing():
    assert measured(picture(), picture(), None) == NOTHING


def test_a_region_that_is_everything_leaves_nothing_to_keep():
    assert measured(picture(), 255 - picture(), Region(x0=0, y0=0, x1=1, y1=1)) == NOTHING


def test_a_small_leak_is_seen():
    """A 10 x 10 leak in 128 x 128: means hardly move, the extremes do."""
    before = picture()
    after = composited(before, 255 - before, (32, 32, 96, 96), 0)
    after[110:120, 5:15] = 255 - after[110:120, 5:15]
    found = measured(before, after, REGION)
    assert found.min_ssim < 0.3
    assert found.p999_delta_e > 10
    assert found.changed_share == pytest.approx(100 / (128 * 128 - 64 * 64), abs=1e-3)


def test_faint_noise_is_no_change_but_has_a_distance():
    """What a VAE's round trip does to a whole picture."""
    before = picture()
    grain = np.random.default_rng(1).normal(0, 2, before.shape)
    after = np.clip(before + np.rint(grain), 0, 255).astype(np.uint8)
    found = measured(before, after, None)
    assert found.changed_share < 0.001
    assert 0.5 < found.p999_delta_e < 10
    assert found.min_ssim > 0.2


def test_without_a_region_the_whole_picture_counts():
    assert measured(picture(), 255 - picture(), None).changed_share > 0.8


def test_the_colour_difference_is_ciede2000():
    """Sharma, Wu, Dalal 2005: pure red against pure green in sRGB is 86.6."""
    red, green = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 3), np.uint8)
    red[..., 0], green[..., 1] = 255, 255
    assert measured(red, green, None).p999_delta_e == pytest.approx(86.6, abs=0.1)


def test_a_tiny_picture_is_measured_too():
    assert measured(picture()[:5, :3], 255 - picture()[:5, :3], None).changed_share > 0.5


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="resize"):
        measured(picture(), picture(64), None)


class Silent:
    """A verifier without verdicts: only the measure beside them matters here."""

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        return Verified(image=request.image, verdicts=(), again=request.again, by="silent")


@pytest.mark.parametrize(("edit", "region", "again", "measures"), [
    (True, REGION, False, True),
    (True, None, False, False),  # asked of the whole picture
    (False, REGION, False, False),  # no edit
    (True, REGION, True, False),  # a second look
])  # fmt: skip
def test_the_verifier_measures_an_edit_of_a_region_once(edit: bool, region: Region | None, again: bool, measures: bool):
    context = PlainContext()
    base, image = context.images.put(to_png(picture())), context.images.put(to_png(255 - picture()))
    request = VerifyRequest(image=image, goals=goals_of("a"), again=again, base=base if edit else None, region=region)
    found = MeasuringVerifier(Silent()).verify(request, context).preservation
    assert (found is not None) == measures
    if found:
        assert found.changed_share > 0.9
