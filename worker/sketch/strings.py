"""The strings that a text wants set in type: quoted ones exactly, verbatim ones by their looks."""

import re

from director.prompts.clauses import quotations

_CAPS = re.compile(
    r"\b[A-ZÀ-Þ0-9][A-ZÀ-Þ0-9&'’.!]*[A-ZÀ-Þ][A-ZÀ-Þ0-9&'’.!]*[!?%]?(?:\s+(?:[&+–—·-]\s+)?[$€£]?[A-ZÀ-Þ0-9&][A-ZÀ-Þ0-9&'’!.:,%$€£-]*(?![a-zß-ÿ]))*"
)
_CUE = re.compile(
    r"\b(?:reading|reads|saying|says|words?|titled?|headline|tagline|slogan|claim|line|labelled|write|writes|put|set|goes|comes|number|name|lettering|under it|below it|then|last|close with|place)\b[,:]?\s+(?=[A-ZÀ-Þ0-9$€£])"
)
_STOP = re.compile(
    r"\s+(?:in (?:a|an|the|bold|small|large|tiny|white|black|cream|slim|thin|heavy|regular|capitals|italics|plain|[a-z]+ (?:letters|capitals|type|serif|sans))|on (?:a|an|the)|at (?:the|a)|under(?:neath)?|goes|sits|runs|swings|along|across|as|with|centred|which|to the|from|beneath|below|above|down|should|is|are)\b|[,;](?=\s+[a-z])|\.,|$"
)
_NOT_TYPE = frozenset("A2 A3 A4 A5 A6 3D 2D TV UFO LED RGB UK US EU DIY PM AM".split())


def strings(text: str) -> tuple[tuple[str, int], ...]:
    """Each string to set and where it ends in `text`: quoted ones, else capitals, else what follows a cue."""
    quoted = quotations(text)
    if quoted:
        return tuple((text[a:b], b) for a, b in quoted)
    caps = [m for m in _CAPS.finditer(text) if _shouts(m[0], m.start())]
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
