"""The strings that a text wants set in type: quoted ones exactly, verbatim ones by their looks."""

from director.prompts.quotes import quotations
from worker.sketch.lexicon import pattern

_CAPS = pattern("caps")
_CUE = pattern("cue")
_STOP = pattern("stop")
_NOT_TYPE = frozenset(
    ["A2", "A3", "A4", "A5", "A6", "3D", "2D", "TV", "UFO", "LED", "RGB", "UK", "US", "EU", "DIY", "PM", "AM"]
)


def strings(text: str) -> tuple[tuple[str, int], ...]:
    """Each string to set and where it ends in `text`: quoted ones, else capitals, else what follows a cue."""
    quoted = quotations(text)
    if quoted:
        return tuple((text[a:b], b) for a, b in quoted)
    caps = [m for m in _CAPS.finditer(text) if _shouts(m[0], m.start()) and text[m.start() - 1 : m.start()] != "#"]
    if caps:
        return tuple((m[0].rstrip(",:;."), m.end()) for m in caps)
    found: list[tuple[str, int]] = []
    for cue in _CUE.finditer(text):
        stop = _STOP.search(text, cue.end())
        end = stop.start() if stop else len(text)
        if 2 <= end - cue.end() <= 80:
            found.append((text[cue.end() : end].strip(" ,"), end))
    return tuple(found[:1])


def _shouts(word: str, start: int) -> bool:
    letters = [c for c in word if c.isalpha()]
    return len(letters) >= 3 and word not in _NOT_TYPE and (" " in word or len(letters) >= 4 or start > 0)


def masked(text: str) -> str:
    """`text` with its strings blanked, so that words in type are not taken for things to draw."""
    for string, end in strings(text):
        start = text.rfind(string, 0, end + 2)
        text = text[:start] + " " * len(string) + text[start + len(string) :]
    return text
