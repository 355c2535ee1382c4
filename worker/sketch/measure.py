"""Measures over the whole picture: light, tone, colour shares and the traces of effects."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.sketch import draw
from worker.sketch.draw import colour
from worker.sketch.segment import Segments, of_picture, solved

Values = NDArray[np.floating]


class Light(NamedTuple):
    """Log luma per half picture towards the right and the foot, the same of red over blue, the fall
    of the corners (share), the pale bank of a fog (log luma) and the middle tone (0 to 255)."""

    x: float
    y: float
    warm_x: float
    warm_y: float
    corners: float
    bank: float
    level: float


@of_picture
def light(segments: Segments) -> Light:
    """The light on the background, by least squares over its smooth areas; outliers are dropped once."""
    height, width = segments.flat.shape
    ys, xs = np.nonzero(segments.flat)
    own = segments.calm[ys, xs] if len(ys) else segments.calm.reshape(-1, 3)
    level = float(np.median(own[::3] @ draw.LUMA))
    if len(ys) < 200:
        return Light(0, 0, 0, 0, 0, 0, level)
    step = max(1, len(ys) // 6000)
    ys, xs = ys[::step], xs[::step]
    x, y = 2 * xs / (width - 1) - 1, 2 * ys / (height - 1) - 1
    areas = segments.flat[ys, xs][:, None] == np.array(range(1, int(segments.flat.max()) + 1))
    corner = np.clip((x * x + y * y) / 2, 0, 1) ** 1.6
    line = segments.seam
    away = np.abs(y - line.y) > (0.03 if line.crisp > 0.5 else 0.14)
    x, y, corner, areas, xs, ys = x[away], y[away], corner[away], areas[away], xs[away], ys[away]
    bank = np.exp(-(((y - 0.42) / 0.3) ** 2))
    terms = np.column_stack([x, y, corner, bank, y > line.y, areas]).astype(np.float32)
    rgb = np.maximum(segments.calm[ys, xs], 2)
    tone = np.log(rgb @ draw.LUMA)
    warmth = np.log(rgb[:, 0] / rgb[:, 2])
    # beside a pool of light a side light is told only when the pool is known for one
    pooled = np.column_stack([terms, _likeliest_pool(xs / width, ys / height, terms, tone)])
    rest = np.abs(tone - terms @ solved(terms, tone))
    good = rest <= np.quantile(rest, 0.85)
    fit, side, warm = (solved(t[good], v[good]) for t, v in ((terms, tone), (pooled, tone), (pooled, warmth)))
    return Light._make(map(float, (*side[:2], *warm[:2], 1 - np.exp(fit[2]), fit[3], level)))


def _thrown(x: Values, y: Values, centre: tuple[float, float]) -> Values:
    """The log luma of a pool of light as `draw.spot` throws it, at places given as shares of the sides."""
    distance = ((x - centre[0]) / 0.42) ** 2 + ((y - centre[1]) / 0.42) ** 2
    return np.log(0.62 + 0.5 * np.exp(-(distance**1.5)))


def _likeliest_pool(x: Values, y: Values, terms: NDArray[np.float32], tone: Values) -> Values:
    """The pool of light that, wherever its centre lies, leaves least of the tone unexplained."""
    part = slice(None, None, max(1, len(tone) // 1500))

    def unexplained(centre: tuple[float, float]) -> float:
        beside = np.column_stack([terms[part], _thrown(x[part], y[part], centre)])
        rest = np.abs(tone[part] - beside @ solved(beside, tone[part]))
        return float(np.minimum(rest, 3 * np.median(rest)).mean())

    return _thrown(x, y, min(((cx, cy) for cx in _CENTRES for cy in _CENTRES), key=unexplained))


_CENTRES = (0.1, 0.23, 0.37, 0.5, 0.63, 0.77, 0.9)


@of_picture
def background(segments: Segments) -> tuple[float, float, float]:
    """The median colour of the largest smooth area (of everything, when there is none)."""
    own = segments.calm[segments.flat == 1] if segments.flat.max() else segments.calm.reshape(-1, 3)
    r, g, b = np.median(own, axis=0)
    return float(r), float(g), float(b)


# --- colour -------------------------------------------------------------------------------------


def lab(rgb: NDArray[np.float32]) -> NDArray[np.float64]:
    """OKLab (Ottosson 2020) of sRGB colours, one a row."""
    c = np.clip(rgb / 255, 0, 1)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


_TO_LMS = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
_TO_LAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])


def near(rgb: NDArray[np.float32], name: str, slack: float) -> NDArray[np.bool_]:
    """Which colours, seen under light and grading, pass for the named one; `slack` in lightness."""
    return _near(lab(rgb), name, slack)


def everywhere(segments: Segments, name: str) -> NDArray[np.bool_]:
    """Which pixels of the working size pass for the named colour."""
    return _near(_lab(segments), name, 0.32).reshape(segments.calm.shape[:2])


@of_picture
def _lab(segments: Segments) -> NDArray[np.float64]:
    return lab(segments.calm.reshape(-1, 3))


def _near(seen: NDArray[np.float64], name: str, slack: float) -> NDArray[np.bool_]:
    wanted = lab(colour(name)[None])[0]
    chroma, asked = np.hypot(seen[:, 1], seen[:, 2]), float(np.hypot(wanted[1], wanted[2]))
    lightness = np.abs(seen[:, 0] - wanted[0])
    if asked < 0.035:  # black, grey, white: little chroma and about as light
        return (chroma < 0.065) & (lightness < min(slack, 0.27))
    turn = _turn(seen, wanted)
    return (chroma > 0.012) & (turn < np.where(chroma > 0.05, 0.62, 0.8)) & (lightness < slack)


def agrees(rgb: tuple[float, float, float], name: str) -> bool:
    """Whether a darker or paler shade may be one of the named colour: it is dull, or its hue isn't far off."""
    seen, wanted = lab(np.array([rgb], np.float32))[0], lab(colour(name)[None])[0]
    dull = float(np.hypot(seen[1], seen[2])) < 0.015 or float(np.hypot(wanted[1], wanted[2])) < 0.035
    return dull or float(_turn(seen, wanted)) < 1.2


def _turn(seen: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """The angle between two hues of OKLab, or of many from one."""
    turn = np.abs(np.arctan2(seen[..., 2], seen[..., 1]) - np.arctan2(wanted[2], wanted[1]))
    return np.minimum(turn, 2 * np.pi - turn)


def shares(segments: Segments, names: tuple[str, ...]) -> list[float]:
    """The share of the picture that passes for each colour."""
    part = segments.calm[::4, ::4].reshape(-1, 3)
    return [float(near(part, name, 0.36).mean()) for name in names]


# --- traces -------------------------------------------------------------------------------------


def crispness(segments: Segments) -> tuple[float, float]:
    """How much the backgrounds differ where they meet, in levels, and how abruptly they do (0 to 1).

    Looked for column by column, since a hill is no level line, with free background on both sides and nothing between.
    """
    reach = 9
    calm = ndimage.uniform_filter1d(segments.calm, min(41, 9 + 8 * round(segments.noise)), axis=1)[:, ::4]
    free = segments.flat[:, ::4] > 0
    things = ndimage.maximum_filter1d(ndimage.maximum_filter(segments.front, 11)[:, ::4], 2 * reach + 1, axis=0)
    free = free[2 * reach :] & free[: -2 * reach] & ~things[reach:-reach]
    wide = draw.most(np.abs(calm[2 * reach :] - calm[: -2 * reach])) * free
    if not wide.size:
        return 0.0, 1.0
    near = draw.most(np.abs(calm[2:] - calm[:-2]))
    at = wide.argmax(axis=0)
    step = np.take_along_axis(wide, at[None], axis=0)[0]
    told = np.flatnonzero(step > 10)
    if len(told) < 20:  # a dark picture's edges are faint
        told = np.flatnonzero(step > 4 + 0.4 * segments.noise)
    if len(told) < 5:
        return float(step.max(initial=0.0)), 1.0
    # row r of `wide` spans r to r + 2 * reach; of `near` r to r + 2
    sharpest = np.array([near[at[c] : at[c] + 2 * reach - 1, c].max() for c in told])
    return float(np.median(step[told])), float(np.median(sharpest / step[told]))


def bank(segments: Segments) -> float:
    return abs(light(segments).bank)


def framed(segments: Segments) -> float:
    """How much a line around the picture stands out from both its sides, in levels."""
    height, width = segments.full.shape[:2]
    unit = min(height, width)
    inset, thick = round(0.022 * unit), max(3, round(0.009 * unit))
    steps: list[float] = []
    for view in (
        segments.full,
        segments.full[::-1],
        segments.full.transpose(1, 0, 2),
        segments.full.transpose(1, 0, 2)[::-1],
    ):
        run = slice(2 * inset, -2 * inset)
        line = view[inset + 1 : inset + thick - 1, run].mean(axis=0)
        outside = view[max(0, inset - 4) : max(1, inset - 1), run].mean(axis=0)
        inner = view[inset + thick + 1 : inset + thick + 4, run].mean(axis=0)
        steps.append(min(float(np.median(np.abs(line - side).max(axis=1))) for side in (outside, inner)))
    return min(steps)


def ring(segments: Segments, x: float, y: float, half: float, tint: str) -> float:
    """How many levels the background close around a point is brighter, or more of the tint, than further out."""
    height, width = segments.flat.shape
    gy, gx = np.mgrid[:height, :width]
    near_by = max(half * max(height, width), 0.05 * min(height, width))
    distance = np.hypot(gx - x * width, gy - y * height) / near_by
    luma = segments.calm @ draw.LUMA
    fit = light(segments)
    u, v = 2 * gx / width - 1, 2 * gy / height - 1
    luma = luma * np.exp(-(fit.x * u + fit.y * v)) * (1 - min(fit.corners, 0.9)) ** -(((u * u + v * v) / 2) ** 1.6)
    free = ~ndimage.maximum_filter(segments.front, 9)
    line = segments.seam
    sides = (2 * gy / height - 1 < line.y - 0.03, 2 * gy / height - 1 > line.y + 0.03) if line.step > 6 else (free,)
    warmth = (segments.calm[..., 0] - segments.calm[..., 2]) * (-0.6 if tint == "cool" else 0.6)
    gains: list[tuple[int, float]] = []
    for side in sides:
        close, far = free & side & (distance > 1.02) & (distance < 1.5), free & side & (distance > 2.5) & (distance < 4)
        if close.sum() > 25 and far.sum() > 25:
            gain = max(float(np.median(tone[close]) - np.median(tone[far])) for tone in (luma, warmth))
            gains.append((int(close.sum()), gain))
    return max(gains)[1] if gains else 0.0


def pool(segments: Segments, centre: tuple[float, float]) -> float:
    """How much of a pool of light lies around a point: 0 for none, 1 for one as `draw.spot` throws it.

    By least squares beside the other lights, because a vignette and a side light look much like one.
    """
    height, width = segments.flat.shape
    ys, xs = np.nonzero(segments.flat)
    if len(ys) < 200:
        return 0.0
    step = max(1, len(ys) // 6000)
    ys, xs = ys[::step], xs[::step]
    x, y = 2 * xs / (width - 1) - 1, 2 * ys / (height - 1) - 1
    areas = segments.flat[ys, xs][:, None] == np.array(range(1, int(segments.flat.max()) + 1))
    corner = np.clip((x * x + y * y) / 2, 0, 1) ** 1.6
    thrown = _thrown(xs / width, ys / height, centre)
    terms = np.column_stack([x, y, corner, thrown, areas]).astype(np.float32)
    return float(solved(terms, np.log(np.maximum(segments.calm[ys, xs] @ draw.LUMA, 2)))[3])
