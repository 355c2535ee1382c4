"""Goals by rounds, with the evidence behind each verdict, and what was read of each lettering."""

import re
from difflib import SequenceMatcher

from director.report.html import NOTHING, Html, fill, html, join, text
from director.report.marks import UNSEEN, mark_of
from director.report.rounds import Book, fate
from director.state import Round, Standing, count_goals
from director.types import Goal, Verdict

_READ = re.compile(r"\bread(?:s)? (?P<quote>['\"])(?P<words>.*?)(?P=quote)(?=$|[ ,;.])")
_NOTHING = re.compile(r"\breads nothing\b|nowhere to be read")


def matrix(book: Book) -> Html:
    """One row a goal, one column a round, and how each goal stands on the best picture."""
    if not book.state.goals:
        return html('<p class="note">The brief has not been read yet, so there are no goals to show.</p>')
    standing = book.state.standing
    return fill(
        "matrix",
        wide=" wide" if len(book.state.rounds) > 8 else "",
        rounds=join(_heading(each) for each in book.state.rounds),
        rows=join((_row(book, goal, standing) for goal in book.state.goals), "\n"),
        totals=join(_total(each.standing(_looked_at(each))) for each in book.state.rounds),
        best=_total(standing),
    )


def lettering(book: Book) -> Html:
    """What the picture was to say, and what was read in it."""
    asked = [goal for goal in book.state.goals if goal.string and not goal.absent]
    standing = book.state.standing
    return (
        fill("lettering", rows=join(_letters(book, goal, standing.get(goal.id)) for goal in asked))
        if asked
        else NOTHING
    )


def _looked_at(each: Round) -> str:
    """The picture that a round's verdicts are about."""
    return each.decided.image if each.decided else each.picked or ""


def _heading(each: Round) -> Html:
    state, words = fate(each)
    return html(
        '<th scope="col" class="$state"><a href="#round-$n"><span class="sr">Round </span>$n</a>'
        ' <span class="fate">$words</span></th>',
        state=state, n=each.number, words=words,
    )  # fmt: skip


def _row(book: Book, goal: Goal, standing: Standing) -> Html:
    cells = [
        _cell(goal, each.standing(_looked_at(each)).get(goal.id), f"{each.number}", each) for each in book.state.rounds
    ]
    notes = [
        goal.type.replace("_", " "),
        "must not be there" if goal.absent else "",
        "must have" if goal.must_have else "",
    ]
    return fill(
        "goal",
        id=goal.id,
        number=book.numbers[goal.id],
        words=goal.text,
        kind=" · ".join(note for note in notes if note),
        cells=join(cells),
        best=_cell(goal, standing.get(goal.id), "best", None),
    )


def _cell(goal: Goal, verdict: Verdict | None, column: str, each: Round | None) -> Html:
    undone = " undone" if each and fate(each)[0] == "undone" else ""
    where = f"round {each.number}" if each else "best picture"
    if verdict is None:
        return html('<td class="unseen$undone"><span class="sr">$word</span></td>', undone=undone, word=UNSEEN.word)
    mark = mark_of(verdict)
    return fill(
        "cell",
        state=mark.name, undone=undone, column=column, goal=goal.id, sign=mark.sign, word=mark.word,
        where=where.capitalize(), score=f"{verdict.score:.0%}", evidence=verdict.evidence or "No evidence was given.",
        by=verdict.by,
    )  # fmt: skip


def _total(standing: Standing) -> Html:
    if not standing:
        return html('<td><span class="sr">nothing looked at</span></td>')
    seen = count_goals(standing.values(), len(standing))
    return html('<td>$met<span class="of">/$all</span></td>', met=seen.met, all=seen.total)


def _letters(book: Book, goal: Goal, verdict: Verdict | None) -> Html:
    asked, mark = goal.string or "", mark_of(verdict)
    return fill(
        "letters",
        id=goal.id, number=book.numbers[goal.id], asked=asked, state=mark.name, sign=mark.sign, word=mark.word,
        read=_read(asked, verdict),
    )  # fmt: skip


def _read(asked: str, verdict: Verdict | None) -> Html:
    """What the reader saw, with the letters that differ; the whole evidence where it can't be told apart."""
    if verdict is None:
        return html('<span class="note">not looked at</span>')
    if found := _READ.search(verdict.evidence):
        return html('<q dir="auto">$words</q>', words=difference(asked, found["words"]))
    if _NOTHING.search(verdict.evidence):
        return html('<span class="note">nothing</span>')
    return html('<span class="note"><bdi>$all</bdi></span>', all=verdict.evidence or "no evidence was given")


def difference(asked: str, read: str) -> Html:
    """`read`, with what is missing of `asked` as <del> and what is too much as <ins>; case does not count."""
    pieces: list[Html] = []
    matcher = SequenceMatcher(None, asked.casefold(), read.casefold(), autojunk=False)
    if len(asked.casefold()) != len(asked) or len(read.casefold()) != len(read):
        return text(read)  # casefold moved the letters (ß, İ): offsets would lie
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        if kind == "equal":
            pieces.append(text(read[b0:b1]))
            continue
        if a1 > a0:
            pieces.append(html("<del>$gone</del>", gone=asked[a0:a1]))
        if b1 > b0:
            pieces.append(html("<ins>$new</ins>", new=read[b0:b1]))
    return join(pieces)
