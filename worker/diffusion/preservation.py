"""How far an edit moved a picture where nothing was asked, in pixels (scikit-image, from the extra `models`)."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from director.seats import Context, Verifier, VerifyRequest
from director.types import Preservation, Region, Verified
from worker.diffusion.canvas import Pixels, box_of, from_raster

CHANGED = 8
"""A pixel has changed when one of its channels moved by more than this, of 255: less is a codec's noise."""
_WINDOW = 7  # the SSIM's, scikit-image's default


def preservation(old: Pixels, new: Pixels, region: Region | None) -> Preservation:
    """Measured outside `region`, over the whole picture when there is none.

    SSIM is Wang et al. 2004 with a 7x7 window over RGB, the colour difference CIEDE2000 in CIELAB (D65).
    Raises ValueError when the two pictures differ in size.
    """
    if old.shape != new.shape:
        raise ValueError(f"an edit may not resize: {old.shape[1::-1]} became {new.shape[1::-1]}")
    outside = np.ones(old.shape[:2], bool)
    if region:
        left, top, right, bottom = box_of(region, (old.shape[1], old.shape[0]))
        outside[top:bottom, left:right] = False
    # What lies inside counts as unchanged: SSIM windows reach over the region's edge.
    new = np.where(outside[..., None], new, old)
    moved = np.abs(old.astype(np.int16) - new.astype(np.int16)).max(axis=2)
    if not moved.any():
        return Preservation(min_ssim=1.0, p999_delta_e=0.0, changed_share=0.0)
    return Preservation(
        min_ssim=round(_min_ssim(old, new, outside), 4),
        p999_delta_e=round(_p999_delta_e(old, new, outside, moved > 0), 3),
        changed_share=float((moved[outside] > CHANGED).mean()),
    )


def _min_ssim(old: Pixels, new: Pixels, outside: NDArray[np.bool_]) -> float:
    height, width = outside.shape
    grow = ((0, max(0, _WINDOW - height)), (0, max(0, _WINDOW - width)))
    old, new = (np.pad(pixels, (*grow, (0, 0)), mode="edge") for pixels in (old, new))
    _, similar = _skimage("metrics").structural_similarity(
        old, new, win_size=_WINDOW, channel_axis=2, data_range=255, full=True
    )
    return float(np.clip(similar[:height, :width].mean(axis=2)[outside].min(), -1.0, 1.0))


def _p999_delta_e(old: Pixels, new: Pixels, outside: NDArray[np.bool_], moved: NDArray[np.bool_]) -> float:
    """Only pixels that moved are converted: the others' difference is zero, and the conversion is what costs."""
    colour = _skimage("color")
    distance = np.zeros(outside.shape, np.float64)
    distance[moved] = colour.deltaE_ciede2000(colour.rgb2lab(old[moved]), colour.rgb2lab(new[moved]))
    return float(np.percentile(distance[outside], 99.9))


@cache
def _skimage(name: str) -> Any:
    # Typed Any: scikit-image ships no types. Imported late: the sketch studio does without it.
    return import_module(f"skimage.{name}")


@dataclass(frozen=True)
class MeasuringVerifier:
    """A verifier that also measures how far an edit moved the picture outside the region where it was asked.

    Without a region the change was asked of the whole picture, and there is nothing to measure.
    """

    verifier: Verifier

    def verify(self, request: VerifyRequest, context: Context) -> Verified:
        verified = self.verifier.verify(request, context)
        if request.again or request.base is None or request.region is None:
            return verified
        old, new = (from_raster(context.images.raster(image)) for image in (request.base, request.image))
        return verified.model_copy(update={"preservation": preservation(old, new, request.region)})
