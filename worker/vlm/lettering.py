"""Is a string among the lines that OCR read? Exact where it matters, and silent about what OCR can't read.

Letters count with their accents; case doesn't, as readers confuse 0 with O and 1 with l, and both sides are folded.
White space and punctuation count beside digits only: £4.50 is not £450, and -5 is not 5, but "Tue–Sun" is "Tue Sun".
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate, groupby, pairwise

_CLOSE = 0.5
"""So like what was asked for, what was read is a misspelling of it and nothing else."""


@dataclass(frozen=True)
class Reading:
    """Whether a string stands in a picture, and what of its lettering comes closest to it.

    Without `can_tell` the string has characters that OCR can't read, and what it read contradicts no verdict.
    """

    found: bool
    closest: str
    can_tell: bool = True


def look_for(string: str, lines: Sequence[str], characters: Collection[str] = ()) -> Reading:
    """`string` as whole words, in order, perhaps broken over lines. `characters` are those that OCR can read.

    Without them it is those that readers of Latin, Chinese and Japanese have in common.
    """
    words = _folded(_masked(string, characters)).split(_EDGE)
    readable = [word for word in words if word and _UNREAD not in word]
    if not readable:
        return Reading(False, "", can_tell=False)
    is_partial = any(_UNREAD in word for word in words)
    windows = list(_windows(lines, sum(map(len, words))))
    parts, capitals = _parts(words), _parts([word.replace("ß", "ss") for word in words])
    for window in windows:
        if _stand(capitals if window.isupper() else parts, _alike(_folded(window))):
            return Reading(True, window, can_tell=not is_partial)
    wanted = _alike("".join(readable))
    ranked = [(SequenceMatcher(None, wanted, _letters(window), autojunk=False).ratio(), window) for window in windows]
    likeness, closest = max(ranked, key=lambda each: each[0], default=(0.0, ""))
    return Reading(False, closest, can_tell=not is_partial or likeness >= _CLOSE)


def beyond(strings: Sequence[str], lines: Sequence[str]) -> str:
    """The first line that says more than the strings, or an empty string; a slip of two letters is no more."""
    allowed = sorted(map(_letters, strings), key=len, reverse=True)
    for line in lines:
        rest = _letters(line)
        for string in allowed:
            rest = rest.replace(string, "")
        if len(rest) > 2 and not any(rest in string for string in allowed):
            return line
    return ""


def _windows(lines: Sequence[str], length: int) -> Iterator[str]:
    """Neighbouring lines as one, the fewest first: so many that a string of this length fits, wherever it begins."""
    ends = [0, *accumulate(len(_letters(line)) for line in lines)]
    for count in range(1, len(lines) + 1):
        starts = [
            start
            for start in range(len(lines) - count + 1)
            if ends[max(start + count - 1, start + 1)] - ends[start + 1] < length
        ]
        if not starts:
            return
        yield from (" ".join(lines[start : start + count]) for start in starts)


# --- which characters OCR can read ------------------------------------------------------------

_UNREAD = "\ue000"  # stands for a character that OCR can't read
_USUAL = (
    (0x20, 0x2AF), (0x2000, 0x22FF), (0x2460, 0x27BF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xFF00, 0xFFEF),
)  # fmt: skip
_SIGNS_ONLY = ("GREEK", "COPTIC")
"""Scripts whose letters are in a reader's dictionary as signs of mathematics: it reads no words of them."""


def _masked(string: str, characters: Collection[str]) -> str:
    composed = unicodedata.normalize("NFC", string)
    return "".join(each if _can_read(each, characters) else _UNREAD for each in composed)


def _can_read(character: str, characters: Collection[str]) -> bool:
    """Marks and symbols always: those that count are read, and the others aren't compared."""
    if not _counts(character):
        return True
    if unicodedata.name(character, "").startswith(_SIGNS_ONLY):
        return False
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and character.isalpha():  # ligatures, full-width and mathematical letters
        return all(_can_read(each, characters) for each in plain)
    forms = {form for form in (character, character.lower(), character.upper()) if len(form) == 1}
    if characters:
        return not forms.isdisjoint(characters)
    return any(first <= ord(form) <= last for form in forms for first, last in _USUAL)


def _counts(character: str) -> bool:
    """Letters, digits, marks that combine with them, currencies, and what stands for such (№, ﬁ)."""
    kinds = {unicodedata.category(each) for each in unicodedata.normalize("NFKC", character)}
    return any(kind[0] in "LNM" or kind == "Sc" for kind in kinds)


# --- forms that are compared ------------------------------------------------------------------

_EDGE = "\x1f"  # between words
_ALIKE = str.maketrans("0|1i", "olll")
_TYPOGRAPHIC = str.maketrans(
    dict.fromkeys("‐‑‒–—―−⁃﹣", "-")
    | dict.fromkeys("‘’‚‛′´`ʹʼ", "'")
    | dict.fromkeys("“”„‟«»″ʺ", '"')
    | dict.fromkeys("º˚", "°")
    | dict.fromkeys("⁄∕", "/")
    | dict.fromkeys("～〜∼˜", "~")
    | {"×": "x", "∶": ":", "٫": ",", "…": "..."}
)
_MONEY = "$¢-¥฿₠-⃀"
_WORD = re.compile(rf"[\w{_UNREAD}%‰&@#+°{_MONEY}]+")
_LEFT = re.compile(rf"[\d%‰°{_MONEY}]")
_RIGHT = re.compile(rf"[\d{_MONEY}]")
_LIKE_NUMBERS = re.compile(r"(?<![^\W\d_])[\dol|i]*\d[\dol|i]*(?![^\W\d_])")
_RANGES = "-~"
_SPACED = frozenset("-~/:=<>÷.,")
"""Marks that count between digits with white space on both sides, too."""
_SIGNS = "-~±<>≤≥≈√."
"""Marks that count right before a digit."""


def _folded(text: str) -> str:
    """Words with edges between them: one form for all that looks the same or means the same."""
    plain = text.translate(_TYPOGRAPHIC)
    plain = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", plain)  # 1½ is not 11/2
    plain = re.sub(r"(?<=\d)(?=[²³¹⁰⁴-⁹])", "^", plain)  # 10² is not 102
    plain = unicodedata.normalize("NFKC", plain).translate(_TYPOGRAPHIC).lower()
    plain = "".join(each for each in plain if unicodedata.category(each) not in ("Cf", "Mn"))
    plain = _LIKE_NUMBERS.sub(lambda number: number[0].translate(str.maketrans("ol|i", "0111")), plain)
    plain = re.sub(r"(?<!\d)°", " ", re.sub(r"(?<=\d)\s+°", "°", plain))
    return _marked(plain)


def _marked(plain: str) -> str:
    """Words with the marks between them that count."""
    folded, end = "", 0
    for word in _WORD.finditer(plain):
        folded += _mark(plain[end - 1 : end] if end else "", plain[end : word.start()], word[0][0]) + word[0]
        end = word.end()
    return folded.strip(_EDGE)


def _mark(left: str, gap: str, right: str) -> str:
    """What stands between two words: an edge, with a mark that counts."""
    mark = gap.strip()
    if not _RIGHT.match(right) or not mark:
        return _EDGE
    if _LEFT.match(left):
        is_tight, mark = mark == gap, mark if mark.strip(mark[0]) else mark[0]
        is_comma = mark in (".", ",") and not gap[0].isspace()  # "5, 10" are two numbers
        if not is_tight and (mark not in _SPACED or is_comma):
            return _EDGE
        return f"{_EDGE}{mark}{_EDGE}" if mark in _RANGES else mark
    return _sign(left, gap, mark)


def _sign(left: str, gap: str, mark: str) -> str:
    """What stands before a number that no number or sign precedes."""
    if left.isalpha() and gap.startswith(mark) and len(mark) == 1:  # B-52 is not B52, but No.5 is No. 5
        return f"{_EDGE}{mark}" if mark in _SIGNS and mark != "." else _EDGE
    is_sign = gap[-1] in _SIGNS and gap[-2:-1] != gap[-1]
    return f"{_EDGE}{gap[-1]}" if is_sign else _EDGE


def _alike(folded: str) -> str:
    return folded.translate(_ALIKE)


def _letters(text: str) -> str:
    return _alike(_folded(text)).replace(_EDGE, "")


def _stand(parts: Sequence[re.Pattern[str]], folded: str) -> bool:
    """The parts in their order, with anything between them."""
    end = 0
    for part in parts:
        found = part.search(folded, end)
        if not found:
            return False
        end = found.end()
    return True


def _parts(words: Sequence[str]) -> list[re.Pattern[str]]:
    """What finds the words between those that can't be read.

    An edge may be missing or too many, but not between two digits; at the string's own ends there must be one.
    """
    parts = [[*group] for is_read, group in groupby(words, lambda word: _UNREAD not in word) if is_read]
    patterns = ["".join(map(_after, ["", *part], part)) for part in parts]
    if _UNREAD not in words[0]:
        patterns[0] = f"(?<![^{_EDGE}]){patterns[0]}"
    if _UNREAD not in words[-1]:
        patterns[-1] = f"{patterns[-1]}(?![^{_EDGE}])"
    return [re.compile(pattern) for pattern in patterns]


def _after(before: str, word: str) -> str:
    """A word as a pattern, with the edge to the word before it."""
    edge = "" if not before else _EDGE if before[-1].isdigit() and word[0].isdigit() else f"{_EDGE}?"
    return edge + _letter_by_letter(word)


def _letter_by_letter(word: str) -> str:
    pattern = re.escape(_alike(word[0]))
    for one, other in pairwise(word):
        pattern += ("" if one.isdigit() and other.isdigit() else f"{_EDGE}?") + re.escape(_alike(other))
    return pattern
