"""Asks ImgEdit's judge once about each original and its `<key>.png`, and files the replies as they come."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from director.errors import BriefError
from tasks.settings import Settings
from tasks.store import clean_upload
from worker.bench.cases import Key
from worker.bench.imgedit.judge import Judge, JudgeServer, Question, Said
from worker.bench.imgedit.scoring import Edit, Unreadable, axes, question, read_scores
from worker.bench.run_log import Log, open_log


@dataclass(frozen=True)
class Material:
    """The user's files: edits by key, judge prompts by type, the folder of originals, the folder of `<key>.png`."""

    edits: Mapping[str, Edit]
    prompts: Mapping[str, str]
    originals: Path
    images: Path


def ask(
    material: Material,
    output: Path,
    server: JudgeServer,
    judge: Judge,
    settings: Settings,
    again: bool = False,
    tell: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Said], dict[str, str]]:
    """Ask about every edit that has no reply yet, and file each reply in `output` as it comes.

    Gives what the judge said by key, and why other keys were not asked about (no such picture, a broken one). Calls
    that failed are made again by the next run; replies without three scores only with `again`. Raises JudgeGone when
    the judge does not answer, and BriefError when `output` holds replies about other pictures or of another judge.
    """
    said: dict[str, Said] = {}
    unusable: dict[str, str] = {}
    asked = {"judge": server.model, "temperature": server.temperature, "max_tokens": server.max_tokens}
    with open_log(output / "replies.jsonl", Said, asked) as log:

        def open_questions() -> Iterator[Question]:
            for key in material.edits:
                try:
                    found = _question(material, key, settings)
                except BriefError as error:
                    unusable[key] = str(error)
                    continue
                filed = _filed(log, found, material, again)
                if filed:
                    said[key] = filed
                else:
                    yield found

        for reply in judge.ask_all(open_questions()):
            log.add(reply)
            said[reply.case] = reply
            tell(len(said) + len(unusable))
    return {key: said[key] for key in material.edits if key in said}, unusable


def _filed(log: Log[Said], asked: Question, material: Material, again: bool) -> Said | None:
    key = Key(asked.case, "judge", 0)
    # A failed call says nothing of the pictures, which may have been mended since.
    found = None if log.failed(key) else log.get(key, asked.task)
    return None if found and again and not _readable(found, material) else found


def _readable(said: Said, material: Material) -> bool:
    try:
        read_scores(said.reply, axes(material.prompts[material.edits[said.case].edit_type]))
    except Unreadable:
        return False
    return True


def _question(material: Material, key: str, settings: Settings) -> Question:
    text = question(material.prompts, material.edits[key])
    original = _picture(material.originals / material.edits[key].id, settings)
    edited = _picture(material.images / f"{key}.png", settings)
    task = hashlib.sha256()
    for part in (text.encode(), original, edited):
        task.update(hashlib.sha256(part).digest())
    return Question(key, task.hexdigest()[:16], text, original, edited)


def _picture(path: Path, settings: Settings) -> bytes:
    """The file as it is, once it is known to be a picture. Raises BriefError that names it."""
    if not path.is_file():
        raise BriefError(f"there is no {path}")
    data = path.read_bytes()
    try:
        clean_upload(data, settings.max_image_bytes, settings.max_image_pixels)
    except BriefError as error:
        raise BriefError(f"{path}: {error.message}") from error
    return data
