"""What the sender of a brief is told before anything is drawn: simple rules, with few false alarms.

Nothing is refused for them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, combinations, islice
from typing import Literal

from director.prompts.clauses import clauses
from director.prompts.headlines import HEADLINE, HEADLINE_CJK
from director.prompts.quotes import quotations, quotes
from director.types import Brief, Goal, Value


class Caution(Value):
    """`kind` is for programs. A job has at most one of each kind."""

    kind: Literal["no-source", "contradiction", "editor-not-served"]
    message: str
    fix: str = ""


def cautions(brief: Brief, goals: Sequence[Goal] = ()) -> tuple[Caution, ...]:
    """What the words of the brief, and its goals once they are known, give rise to."""
    return tuple(found for found in (_no_source(brief), _contradiction(brief.text, goals)) if found)


def _said(words: str, most: int = 80) -> str:
    line = " ".join(words.split())
    return f"“{line if len(line) <= most else line[: most - 1].rstrip() + '…'}”"


# --- an edit without its picture ----------------------------------------------------------------


def _no_source(brief: Brief) -> Caution | None:
    if brief.source:
        return None
    earlier = ""
    for clause in clauses(brief.text):
        edits = _EDIT.search(clause.text)
        thing = edits["thing"] if edits else None
        if edits and not (thing and re.search(rf"\b(?:an?|one)\b[^.]{{0,40}}\b{re.escape(thing)}\b", earlier, re.I)):
            return Caution(
                kind="no-source",
                message=f"{_said(clause.text)} changes a picture, but no picture was sent: everything is drawn new",
                fix="send the picture with the brief (--source IMG, or brief.source)",
            )
        earlier += clause.text + "\n"
    return None


_EDIT = re.compile(
    r"^(?:\W*(?:please|then|and|now|also|next|first|finally|just|could you|can you|bitte|por favor|s['’]il (?:te|vous) "
    r"pla[iî]t|per favore|alsjeblieft|пожалуйста)\b[\s,]*){0,3}(?:"
    r"(?:replace|swap(?: out)?|remove|erase|delete|move|shift|recolou?r|retouch|extract|take (?:out|away)|get rid of)"
    r"\s+(?:the|this|that|these|those|his|her|their)\s+(?P<thing>[\w-]+)"
    r"|(?:transfer|convert|turn|transform) (?:the|this) (?:image|picture|photo\w*)\b"
    r"|change (?:the|his|her|their|this|that)\b.{1,60}\b(?:to|into|from)\b"
    r"|(?:ersetze|tausche|entferne|lösche|verschiebe|retuschiere)n?(?: sie)?\b.{0,12}\b(?:den|die|das|diese\w*)\b"
    r"|(?:remplace|supprime|enlève|efface|déplace|retire)[rz]?\s+(?:l['’]|(?:le|la|les|cette?|ces|son|sa|ses)\b)"
    r"|(?:reemplaza|sustituye|elimina|quita|borra|mueve|cambia)\w*\s+(?:el|la|los|las|est[eao]s?|su)\b"
    r"|(?:sostituisci|rimuovi|elimina|togli|sposta|cancella)\s+(?:l['’]|(?:il|lo|la|i|gli|le|quest\w+)\b)"
    r"|(?:substitua|remova|retire|apague|mova|troque)\s+(?:[oa]s?|est\w+)\b"
    r"|(?:vervang|verwijder|verplaats|wis)\s+(?:de|het|deze|dit)\b"
    r"|(?:ersätt|ta bort|flytta|byt ut|fjern|flytt?|erstatt?)\s+\w+(?:en|et|na|ne|n|t)\b"
    r"|(?:zamień|zastąp|usuń|przesuń|wymaż|заміни|прибери|видали|замени|убери|удали|передвинь|перемести)(?:cie|те)?\b"
    r"|(?:请|請)?(?:去掉|移除|删除|刪除|替换|替換|擦除|抹去|移走)"
    r"|.{0,20}(?:把|将|將).{1,30}(?:换成|換成|改成|替换|替換|移到|移动到|移動到|去掉|删除|刪除|移除)"
    r"|.{1,40}を.{0,20}(?:置き換え|差し替え|削除し|取り除|消して|移動し|動かし)"
    r"|.{1,40}[을를].{0,20}(?:교체|바꾸|바꿔|제거|삭제|지우|지워|옮기|옮겨)"
    r"|(?:استبدل|احذف|أزل|انقل)\b|(?:החלף|הסר|מחק|הזז)\b"
    r")|\b(?:in|of|on|from|im|vom)(?: (?:the|this|my|our))? (?:attached|enclosed|uploaded|angehängten|beigefügten)\b"
    r"|\bkeep\b.{1,60}\b(?:as|where) (?:it is|they are|it's|they're)\b",
    re.IGNORECASE,
)


# --- contradictions -----------------------------------------------------------------------------


def _contradiction(text: str, goals: Sequence[Goal]) -> Caution | None:
    spoken = [clause.text for clause in clauses(text)]
    found = list(islice(dict.fromkeys(chain(_headlines(spoken), _counts(spoken), _excluded(goals))), _MOST))
    fix = f"say which of {'the two' if len(found) == 1 else 'each two'} holds"
    return Caution(kind="contradiction", message="; ".join(found), fix=fix) if found else None


_MOST = 3  # contradictions that are told at once


def _headlines(spoken: Iterable[str]) -> Iterator[str]:
    """Two exact strings that are each called the headline."""
    named: list[str] = []
    for clause in spoken:
        behind = 0
        for mark in quotes(clause):
            called = list(_HEADLINE.finditer(clause, max(behind, mark.opens - _NEAR), mark.opens))
            if (called and not _BESIDE.search(clause[: called[-1].start()])) or _AS_HEADLINE.match(clause, mark.closes):
                named.append(clause[mark.start : mark.end])
            behind = mark.closes
    for one, other in combinations(dict.fromkeys(named), 2):
        if one.isascii() is other.isascii():  # else one is likely the other in a second language
            yield f"the brief has two headlines, {_said(one)} and {_said(other)}"


_NEAR = 40
_HEADLINE = re.compile(rf"(?<![\w-])(?:{HEADLINE})\b|{HEADLINE_CJK}", re.IGNORECASE)
_BESIDE = re.compile(
    r"\b(?:below|under|underneath|beneath|above|over|beside|behind|than|of|to|second|sub|no|unter|über|neben)\b"
    r"[\w\s]{0,25}$",
    re.IGNORECASE,
)
_AS_HEADLINE = re.compile(rf"\W{{0,3}}(?:as|for|is) (?:the|a|our|its) (?:\w+ )?(?:{_HEADLINE.pattern})", re.IGNORECASE)


def _counts(spoken: Iterable[str]) -> Iterator[str]:
    """One and the same thing in two numbers, at no two places."""
    found: dict[tuple[str, str], dict[int, tuple[str, frozenset[str]]]] = {}
    plain = [_without_quotations(clause) for clause in spoken]
    many = {noun for clause in plain for *_, noun in _counted(clause) if noun.endswith("s") or noun in _PLURALS}
    single = {_singular(noun) for noun in many}
    for clause in plain:
        places = frozenset(_PLACE.findall(clause.lower()))
        for number, looks, noun in _counted(clause, single):
            if not _MEASURES.fullmatch(noun):
                found.setdefault((looks, _singular(noun)), {}).setdefault(
                    number, (f"{_in_words(number)} {noun}", places)
                )
    for numbers in found.values():
        for (one, here), (other, there) in combinations(numbers.values(), 2):
            if here == there or not (here and there):
                yield f"the brief asks for {one} and for {other}"


def _counted(clause: str, single: Iterable[str] = ()) -> Iterator[tuple[int, str, str]]:
    """Number, adjectives and noun of each number of things; `single` are the nouns that may follow "one"."""
    for match in _NUMBER.finditer(clause.lower()):
        number = _NUMBERS[match["n"]] if match["n"] in _NUMBERS else int(match["n"])
        words = re.findall(r"[a-z-]+|\S", clause[match.end() : match.end() + 60].lower())[:3]
        nouns = set(single) if number == 1 else None
        for n, word in enumerate(words):
            if not word[0].isalpha() or word in _NO_NOUNS:
                break
            plural = (word.endswith("s") and not word.endswith("ss")) or word in _PLURALS
            if number == 0 and any(behind[0].isalpha() for behind in words[n + 1 :]):
                break  # "no birds on the ground" rules out none that fly
            if word in nouns if nouns is not None else plural:
                yield number, " ".join(words[:n]), word
                break


def _without_quotations(clause: str) -> str:
    for start, end in reversed(quotations(clause)):
        clause = clause[:start] + "…" + clause[end:]
    return clause


def _in_words(number: int) -> str:
    return next((word for word, n in _NUMBERS.items() if n == number), str(number))


_NUMBERS = {"no": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
            "ten": 10, "eleven": 11, "twelve": 12, "single": 1}  # fmt: skip
_NUMBER = re.compile(
    rf"(?<!the )(?<!no )(?<!these )(?<!those )(?<!other )(?<!another )(?<!more )(?<!of )(?<![\w.,:/£$€-])"
    rf"(?P<n>{'|'.join(_NUMBERS)}|[1-9]\d?)\s+(?!of\b|more\b|other\b)"
)
_PLURALS = {"children": "child", "people": "person", "men": "man", "women": "woman", "geese": "goose", "mice": "mouse",
            "leaves": "leaf", "wolves": "wolf", "fish": "fish", "sheep": "sheep", "deer": "deer"}  # fmt: skip
_NO_NOUNS = frozenset(("of", "in", "on", "at", "and", "or", "with", "to", "from", "by", "is", "are", "has", "per"))
_MEASURES = re.compile(
    r"(?:line|word|third|column|row|time|side|corner|colou?r|tone|point|pixel|percent|minute|hour|day|week|month|year"
    r"|inche|foot|feet|metre|meter|second|degree|part|halve|layer|shade|stroke|version|way|step|page|size)s?"
)
_PLACE = re.compile(
    r"\b(?:left|right|upper|lower|top|bottom|centre|center|middle|foreground|background|corner|above|below|behind|"
    r"beside|under|sky|between|near|inside|outside|front|each|every)\b"
)


def _singular(noun: str) -> str:
    if noun in _PLURALS:
        return _PLURALS[noun]
    for ending, replaced in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if noun.endswith(ending) and not noun.endswith("ss"):
            return noun.removesuffix(ending) + replaced
    return noun


def _excluded(goals: Iterable[Goal]) -> Iterator[str]:
    """Goals that the planner, or the sender, says rule each other out."""
    words, told = {goal.id: goal.text for goal in goals}, set[frozenset[str]]()
    for goal in goals:
        for other in goal.conflicts:
            pair = frozenset((goal.id, other))
            if other in words and pair not in told:
                told.add(pair)
                yield f"{_said(goal.text, 60)} and {_said(words[other], 60)} rule each other out"
