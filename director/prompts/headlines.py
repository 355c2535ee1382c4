"""Which exact string a brief calls its headline or title: a picture without it is no result, whatever else it shows."""

import re
from collections.abc import Sequence

from director.types import Goal, GoalType

HEADLINE = r"headline|main\s+title|überschrift|schlagzeile|gros\s+titre|titular|заголовок"
"""What is called nothing else. A title may be a book's."""
HEADLINE_CJK = "(?<!副)(?:标题|標題|見出し|제목)"
_WORDS = (
    # English, German, Dutch, Scandinavian, Finnish
    rf"{HEADLINE}|heading|title|masthead|(?:haupt|hoofd)?titel|kop(?:regel|tekst)"
    r"|rubrik(?:en)?|(?:over|hoved)skrift(?:en)?|tittel(?:en)?|otsikko"
    # Romance
    r"|titre|título|encabezado|titolo|manchete|titlu"
    # Slavic, Greek, Hungarian, Turkish, Vietnamese, Indonesian
    r"|tytuł|nagłówek|nadpis|titulek|название|назва|τίτλος|επικεφαλίδα|(?:fő)?cím|başlık|tiêu\s+đề"
    r"|judul"
)
_NAMED = re.compile(
    rf"(?<![\w-])(?:{_WORDS})(?!\w)(?!\s+(?:page|bar|role|track)\b)|{HEADLINE_CJK}|タイトル|表題|العنوان|עنوان|כותרת|หัวข้อ|ชื่อเรื่อง|शीर्षक",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"(?:\b(?:below|under|underneath|beneath|above|over|beside|behind|than|as\s+the|sub|second|unter|über|neben|sous|bajo"
    r"|sotto|onder|pod|под)\s+(?:the\s+|that\s+|der\s+|dem\s+|le\s+|el\s+|il\s+|de\s+)?(?:\w+\s+)?|sub-?|under-?|unter-?)$",
    re.IGNORECASE,
)
_RIGHT_BEHIND = re.compile(r"\W*(?:(?:is|reads|says|ist|lautet|est|es|è)\W+)?", re.IGNORECASE)
_NEAR = 60
"""Characters between the word and the string that it names."""


def insisted(goals: Sequence[Goal]) -> tuple[Goal, ...]:
    """The goals; a lettering that its words call the headline is a must-have."""
    return tuple(goal.model_copy(update={"must_have": True}) if _is_headline(goal) else goal for goal in goals)


def _is_headline(goal: Goal) -> bool:
    if goal.absent or not goal.string or goal.type != GoalType.TEXT.value:
        return False
    start = goal.text.find(goal.string)
    before, behind = goal.text[max(0, start - _NEAR) : max(0, start)], goal.text[start + len(goal.string) :][:_NEAR]
    named = [*_NAMED.finditer(before)][-1:]
    if named:
        between = before[named[0].end() :]
        return bool(_RIGHT_BEHIND.fullmatch(between)) or not _BESIDE.search(before[: named[0].start()])
    return bool(_AS.match(behind))


_AS = re.compile(
    rf"\W{{0,3}}(?:as|for|is|als|ist|comme|como|come)\s+(?:\w+\s+){{0,3}}?(?:{_NAMED.pattern})", re.IGNORECASE
)
