"""Places things on a page: it knows what is taken, and finds the free place nearest to a wanted one."""

import numpy as np
from numpy.typing import NDArray

from director.types import Region
from worker.sketch.draw import PixelBox

WHOLE = Region(x0=0, y0=0, x1=1, y1=1)
CLEAR = Region(x0=0, y0=0, x1=1, y1=0.35)
"""The area that is meant to stay open when nobody says which."""


def holds(region: Region, x: float, y: float, slack: float = 0.0) -> bool:
    """Whether a point, in fractions of the picture, lies in a region or at most `slack` outside it."""
    return region.x0 - slack <= x <= region.x1 + slack and region.y0 - slack <= y <= region.y1 + slack


def middle(box: Region) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


class Page:
    """A grid of taken cells over a picture of `width` by `height` pixels; boxes keep off its margin."""

    def __init__(self, width: int, height: int, limits: Region = WHOLE, margin: float = 0.05) -> None:
        self.width, self.height = width, height
        self.cell = max(2, min(width, height) // 128)
        self._taken = np.zeros((height // self.cell + 1, width // self.cell + 1), bool)
        edge = margin * min(width, height)
        x0, y0 = max(limits.x0 * width, edge), max(limits.y0 * height, edge)
        self.limits = x0, y0, min(limits.x1 * width, width - edge), min(limits.y1 * height, height - edge)

    def take(self, box: PixelBox, gap: float = 0.0) -> None:
        """Mark a box, and `gap` pixels around it, as taken."""
        x0, y0, x1, y1 = (v / self.cell for v in (box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap))
        self._taken[max(0, int(y0)) : max(0, int(np.ceil(y1))), max(0, int(x0)) : max(0, int(np.ceil(x1)))] = True

    def take_mask(self, mask: NDArray[np.bool_]) -> None:
        """Mark the pixels of a (height, width) mask as taken."""
        ys, xs = np.nonzero(mask)
        self._taken[ys // self.cell, xs // self.cell] = True

    def copy(self) -> "Page":
        twin = object.__new__(Page)
        twin.__dict__.update(self.__dict__, _taken=self._taken.copy())
        return twin

    def find(
        self,
        size: tuple[float, float],
        wish: tuple[float, float],
        region: Region | None = None,
        pull: tuple[float, float] = (1, 1),
    ) -> PixelBox | None:
        """The free box of `size` pixels whose centre is in `region` and nearest to `wish`; `pull` weighs x and y."""
        wide, tall = (int(np.ceil(v / self.cell)) for v in size)
        sums: NDArray[np.int64] = np.pad(self._taken.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        if tall >= sums.shape[0] or wide >= sums.shape[1]:
            return None
        load: NDArray[np.int64] = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
        rows, columns = int(load.shape[0]), int(load.shape[1])
        left = np.linspace(0, (columns - 1) * self.cell, columns)[None]
        top = np.linspace(0, (rows - 1) * self.cell, rows)[:, None]
        x, y = left + size[0] / 2, top + size[1] / 2
        x0, y0, x1, y1 = self.limits
        ok = (load == 0) & (left >= x0 - 1) & (top >= y0 - 1)
        ok &= (left + size[0] <= x1 + self.cell) & (top + size[1] <= y1 + self.cell)
        if region:
            # a little inside, so that who measures the drawn centre agrees
            ok &= (x >= region.x0 * self.width + 1) & (x <= region.x1 * self.width - 1)
            ok &= (y >= region.y0 * self.height + 1) & (y <= region.y1 * self.height - 1)
        if not ok.any():
            return None
        cost = np.where(ok, pull[0] * (x - wish[0]) ** 2 + pull[1] * (y - wish[1]) ** 2, np.inf)
        row, column = np.unravel_index(int(cost.argmin()), cost.shape)
        return int(left[0, column]), int(top[row, 0]), int(left[0, column] + size[0]), int(top[row, 0] + size[1])
