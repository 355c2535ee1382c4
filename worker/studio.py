"""The composition root of the seats: which backend fills them, by name."""

from contextlib import ExitStack

from director.errors import BriefError
from director.seats import Studio
from tasks.settings import Settings


def open_studio(settings: Settings, resources: ExitStack) -> Studio:
    """The four seats that the settings name. What has to be closed is entered into `resources`."""
    if settings.studio == "sketch":
        from worker.sketch import sketch_studio

        return sketch_studio()
    raise BriefError(f"there is no studio {settings.studio!r}", "choose sketch", "studio")


def editor_models(settings: Settings) -> tuple[str, ...]:
    """The models whose queues an editor worker serves."""
    from worker.sketch import profiles

    return tuple(settings.editors) or profiles()
