"""A job that goes on from another one's picture: the brief that was sent is only what is to change."""

from api.auth import Caller
from api.problems import Problem, invalid
from api.schemas import Submission
from api.service import Service
from director.continuing import changed
from director.state import State


def gone_on(service: Service, caller: Caller, submission: Submission, id: str) -> Submission:
    """The submission with the picture and the kept goals of the job `id`, and its settings where none are given.

    Raises Problem 404 for an unknown job, and 422 that names the field.
    """
    if submission.brief.source or submission.brief.goals or submission.brief.continues:
        raise invalid("brief", "picture and goals come from the job that is continued", "send the text alone")
    try:
        record = service.find(caller.owner, id)
    except Problem as unknown:
        raise invalid("continues", "there is no such job of yours", "name the id of a job") from unknown
    if not record.ended:
        raise invalid("continues", "this job has not ended", "wait for its end, or cancel it")
    state = State.of(service.trajectory(record))
    image = service.delivered(record, state)
    if not image or not service.images.has(image):
        raise invalid("continues", "this job has no picture that is still stored", "send the picture as brief.source")
    before, text = state.trajectory.brief, submission.brief.text
    title = submission.brief.title or f"{before.name[:108]}, changed"
    brief = changed(state, image, text, title)
    # What a job drew is no upload; the note lets its owner name it, and outlives a sweep while a job names it.
    service.archive.own(caller.owner, image)
    given = submission.settings.model_dump(include=submission.settings.model_fields_set, by_alias=True)
    settings = {**state.settings.model_dump(), **given}
    return submission.model_copy(
        update={
            "brief": type(submission.brief).model_validate(brief.model_dump()),
            "settings": type(submission.settings).model_validate(settings),
        }
    )
