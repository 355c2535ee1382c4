"""The report page with its pictures inside, in two forms: as it is served, and as one file of limited size."""

from base64 import b64encode
from collections.abc import Callable

from director.report import Controls, RunInfo, report
from director.state import State
from director.types import ImageHash, Trajectory
from tasks.store.images import Images
from tasks.store.objects import NotFound
from tasks.store.thumbnails import Thumbnails, shrink

SMALL, LARGE = 256, 1024  # pixels in width
_WHOLE = 700_000  # bytes of a final picture that goes in as it is
_BUDGET = ((12, 512), (32, 384), (80, 256), (10**9, 128))
"""Up to so many pictures, so wide: a page that can only enlarge what it holds stays below 3 MB."""


def linked(
    trajectory: Trajectory,
    thumbnails: Thumbnails,
    place: Callable[[ImageHash], str],
    run_info: RunInfo,
    controls: Controls | None = None,
) -> str:
    """The page as it is served: thumbnails inside, the full size behind `place`."""
    thumbnails.warm(State.of(trajectory).pictures, SMALL)

    class Linked:
        def lead(self, image: ImageHash) -> str:
            return _webp(thumbnails, image, LARGE)

        def thumb(self, image: ImageHash) -> str:
            return _webp(thumbnails, image, SMALL)

        def full(self, image: ImageHash) -> str:
            return place(image)

    return report(trajectory, Linked(), run_info, controls)


def standalone(trajectory: Trajectory, thumbnails: Thumbnails, run_info: RunInfo) -> str:
    """The page as a file of its own: the final picture full size, candidates of a modest size, nothing elsewhere."""
    named = State.of(trajectory).pictures
    width = next(width for most, width in _BUDGET if len(named) <= most)
    thumbnails.warm(named, width)

    class Inside:
        def lead(self, image: ImageHash) -> str:
            return _whole(thumbnails.images, image)

        def thumb(self, image: ImageHash) -> str:
            return _webp(thumbnails, image, width)

        def full(self, image: ImageHash) -> str:
            return ""

    return report(trajectory, Inside(), run_info)


def _whole(images: Images, image: ImageHash) -> str:
    try:
        png = images.get(image)
    except NotFound:
        return ""
    if len(png) <= _WHOLE:
        return _uri("image/png", png)
    return _uri("image/webp", shrink(png, 2048, quality=90))


def _webp(thumbnails: Thumbnails, image: ImageHash, width: int) -> str:
    try:
        return _uri("image/webp", thumbnails.get(image, width))
    except NotFound:
        return ""


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"
