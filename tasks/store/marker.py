"""The marker that says: what lies here is this service's. Without it `visiondirector gc` removes nothing."""

import logging
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from tasks.jobs import JobId
from tasks.store.objects import Store

log = logging.getLogger(__name__)

MARKER = "visiondirector.json"
_OF_JOBS = frozenset({"jobs", "live", "deleted", "images", "blobs", "owners", "ready", "doctor", "ended"})
_FOLDERS = _OF_JOBS | {
    "batches",
    "batches-live",
    "batches-ended",
    "spend",
    "hooks",
    "notices",
    "notices-told",
    "notices-dead",
    "gc",
}
_MOST_LOOKED_AT = 5000  # objects: of an installation that is older than its marker
_JOB: TypeAdapter[str] = TypeAdapter(JobId)


def mark(store: Store) -> bool:
    """Write the marker at the first start; False where others have objects among ours."""
    if store.exists(MARKER):
        return True
    for item in islice(store.items(""), _MOST_LOOKED_AT):
        folder, _, rest = item.key.partition("/")
        if folder not in _FOLDERS or (folder == "jobs" and not is_job(rest.partition("/")[0])):
            log.warning("gc will remove nothing: %s is not ours; set VISIONDIRECTOR_S3_PREFIX", item.key)
            return False
    store.put(MARKER, b'{"service":"VisionDirector"}\n')
    return True


def is_job(word: str) -> bool:
    """True for what can be the id of a job."""
    try:
        return bool(_JOB.validate_python(word))
    except ValidationError:
        return False
