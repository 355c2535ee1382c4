"""The job that an id on the command line names."""

from api.client import Client, Job
from director.errors import BriefError
from director.transcript import plain

SHORTEST = 8
LENGTH = 36


def find(client: Client, id: str) -> Job:
    """The job with this id, or the only job whose id starts with it. Raises BriefError for no such job, or several."""
    return client.job(full_id(client, id))


def full_id(client: Client, id: str) -> str:
    """The full id. A short one is looked up in the list of jobs."""
    if len(id) >= LENGTH:
        return id
    if len(id) < SHORTEST:
        raise BriefError(f"{id!r} is too short", f"give at least {SHORTEST} characters of a job's id", "ID")
    matching = [job for job in client.jobs(page=200) if job.id.startswith(id.lower())]
    if len(matching) == 1:
        return matching[0].id
    if not matching:
        raise BriefError(f"there is no job {plain(id, 40)!r}", "see `visiondirector list`", "ID")
    raise BriefError(f"{len(matching)} jobs begin with {id!r}", f"give more characters, e.g. {matching[0].id}", "ID")
