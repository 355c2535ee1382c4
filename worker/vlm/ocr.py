"""What is written in a picture, read without a VLM: VLMs correct a misspelling silently, OCR does not."""

import threading
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from director.errors import DirectorError
from director.seats import Raster
from director.types import Outcome, Verdict
from tasks.store import picture_of
from worker.vlm.lettering import beyond, look_for


class TextReader(Protocol):
    def read(self, raster: Raster) -> tuple[str, ...]:
        """The lines of lettering in a picture, from top to bottom."""
        ...


class RapidReader:
    """RapidOCR on one CPU thread; its models come with the package. About 0.4 s a picture; loaded at the first.

    Raises DirectorError when it is not installed.
    """

    def __init__(self) -> None:
        if find_spec("rapidocr") is None:
            raise DirectorError(
                "rapidocr is not installed", "install the extra `models`, or set the verifier's ocr to false"
            )
        self._engine: Any = None
        self._lock = threading.Lock()

    def read(self, raster: Raster) -> tuple[str, ...]:
        pixels = np.asarray(picture_of(raster).convert("RGB"))[:, :, ::-1].copy()
        with self._lock:
            result = self._loaded()(pixels)
        if result.txts is None:
            return ()
        return in_rows([(str(text), box.tolist()) for text, box in zip(result.txts, result.boxes, strict=True)])

    @property
    def characters(self) -> frozenset[str]:
        """Those that its model can read, by the model's own dictionary; empty until it has read something."""
        recognizer = self._engine.text_rec if self._engine else None
        return frozenset(recognizer.postprocess_op.character) if recognizer else frozenset()

    def _loaded(self) -> Any:
        if self._engine is None:
            one_thread = {f"EngineConfig.onnxruntime.{pool}_op_num_threads": 1 for pool in ("intra", "inter")}
            # rapidocr is no dependency of the core, so nothing is known of its types here.
            self._engine = import_module("rapidocr").RapidOCR(params={"Global.log_level": "error", **one_thread})
        return self._engine


def in_rows(boxes: Sequence[tuple[str, Sequence[Sequence[float]]]]) -> tuple[str, ...]:
    """Texts with their corner points as lines: what stands at one height is one line, read from the left."""
    rows: list[list[tuple[float, float, float, str]]] = []
    for text, corners in sorted(boxes, key=lambda each: min(point[1] for point in each[1])):
        top, bottom = min(point[1] for point in corners), max(point[1] for point in corners)
        word = (min(point[0] for point in corners), top, bottom, text)
        if rows and top < (rows[-1][0][1] + rows[-1][0][2]) / 2:
            rows[-1].append(word)
        else:
            rows.append([word])
    return tuple(" ".join(word[3] for word in sorted(row)) for row in rows)


def joined(
    verdict: Verdict,
    string: str,
    lines: Sequence[str],
    characters: Collection[str] = (),
    absent: bool = False,
    only: Sequence[str] = (),
) -> Verdict:
    """A verdict on a text goal with what OCR reads beside it: where the two disagree, it is unsure.

    `characters` are those that OCR can read. Where the string has others, OCR does not overrule; nor where it doesn't
    find one that must be `absent` and the VLM sees it. `only` are the strings beside which nothing may be lettered.
    """
    reading = look_for(string, lines, characters)
    read = f"OCR reads {reading.closest!r}" if reading.closest else "OCR reads nothing"
    if not reading.can_tell:
        evidence = f"{read[:140]} and can't read all of what is asked for; VLM: {verdict.evidence}"[:300]
        return verdict.model_copy(update={"evidence": evidence})
    if absent and not reading.found and verdict.outcome is not Outcome.MET:
        return verdict.model_copy(update={"evidence": f"{read[:140]}; VLM: {verdict.evidence}"[:300]})
    other = beyond(only, lines) if only else ""
    read = f"{read[:70]} and {other[:60]!r}" if other else read
    right = reading.found is not absent and not other
    agrees = verdict.outcome is (Outcome.MET if right else Outcome.MISSED)
    halved = round((verdict.score + right) / 2, 4)  # half the VLM's word and half the reader's
    doubt = {} if agrees else {"outcome": Outcome.UNSURE, "score": halved}
    evidence = f"{read[:140]}; VLM: {verdict.evidence}"[:300]
    return verdict.model_copy(update={**doubt, "evidence": evidence, "by": f"{verdict.by[:60]}+ocr"})
