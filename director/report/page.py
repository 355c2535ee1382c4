"""The report page: its sections in their order, and the HTML document around them."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from director.report import cost, goals, rounds, status, words
from director.report.html import NOTHING, Html, fill, html, join
from director.report.marks import MARKS, UNSEEN
from director.report.rounds import Book
from director.report.run_info import Controls, Picked, Pictures, RunInfo
from director.state import GoalCounts, State
from director.transcript import count
from director.types import SIDE, ImageHash, Outcome, Trajectory


def report(
    trajectory: Trajectory, pictures: Pictures, run_info: RunInfo | None = None, controls: Controls | None = None
) -> str:
    """A trajectory as one HTML page, without scripts, and with nothing that has to be fetched but its pictures."""
    run_info, state = run_info or RunInfo(), State.of(trajectory)
    by_hand = run_info.picked.image if run_info.picked else None
    book = rounds.open_book(state, pictures, controls or Controls(), by_hand)
    letters = goals.lettering(book)
    name = trajectory.brief.title or f"{trajectory.brief.name} …"
    body = fill(
        "report",
        title=name,
        home=html('<a href="$home">All jobs</a>', home=run_info.home) if run_info.home else NOTHING,
        small_print=_small_print(trajectory, run_info),
        state=status.section(state, run_info),
        orders=controls.orders if controls else NOTHING,
        simulated=status.simulated(state),
        told=status.told(state),
        lead=_picked(book, run_info.picked)
        if run_info.picked
        else _lead(book, over=bool(state.stop) or (bool(run_info.trouble) and not run_info.doing)),
        bar=tally(state.counts) if state.goals else NOTHING,
        open_goals=_open_goals(book),
        letters_link=html('<li><a href="#lettering">Lettering</a></li>') if letters else NOTHING,
        rounds=rounds.sections(book),
        matrix=goals.matrix(book),
        lettering=letters,
        cost=cost.section(state, run_info),
        brief=words.section(trajectory.brief.text, state.goals, book.numbers, state.standing),
        source=_source(book),
        settings=_settings(trajectory),
    )
    return document(f"{name} · report", body, forms=bool(controls))


def document(title: str, body: Html, script: str = "", forms: bool = False) -> str:
    """A whole HTML document around the body, with the style inside and a policy that lets nothing else in.

    `script` is code of ours; nothing of it was filled in. With `forms` the page tells its own place where it is: else
    a browser would not say from where a form comes.
    """
    if script:
        body = Html(f"{body}\n<script>{script}</script>")
    referrer = "same-origin" if forms else "no-referrer"
    filled = {"policy": policy(script, forms), "referrer": referrer, "style": Html(style())}
    return fill("page", title=title, body=body, **filled) + "\n"


@cache
def style() -> str:
    return (files("director.report") / "style.css").read_text("utf-8")


@cache
def policy(script: str = "", forms: bool = False) -> str:
    """Content-Security-Policy of a page: its own style, pictures of the same place or inside it, nothing else.

    With a `script` that very one may run, in a file whose pictures lie beside it. `forms` may be sent to the place that
    the page comes from.
    """
    own = f"script-src '{_digest(script)}'; " if script else ""
    beside = " file:" if script else ""  # of a file not every browser takes another for the same place
    to = "self" if forms else "none"
    return (
        f"default-src 'none'; style-src '{_digest(style())}'; {own}img-src 'self' data:{beside}; base-uri 'none'; "
        f"form-action '{to}'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def tally(counts: GoalCounts) -> Html:
    """A bar of goals: met, unsure, missed, not looked at. The words beside it say the same."""
    unseen = counts.total - counts.met - counts.unsure - counts.missed
    shares = (
        (MARKS[Outcome.MET], counts.met),
        (MARKS[Outcome.UNSURE], counts.unsure),
        (MARKS[Outcome.MISSED], counts.missed),
        (UNSEEN, unseen),
    )
    said = ", ".join(f"{number} {mark.word}" for mark, number in shares if number) or "no goals yet"
    return bar([(mark.name, number) for mark, number in shares], said)


def bar(shares: Sequence[tuple[str, int]], said: str) -> Html:
    """A bar of parts, each of a class of the style sheet and in proportion to its number; `said` are its words."""
    spans: list[Html] = []
    start, total = 0.0, sum(number for _, number in shares)
    for name, number in shares:
        if number:
            width = 100 * number / total
            spans.append(
                html(
                    '<rect class="$name" x="$x" width="$w" height="6"/>',
                    name=name, x=f"{start:.2f}", w=f"{width:.2f}",
                )
            )  # fmt: skip
            start += width
    return html(
        '<svg class="tally" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="$said">$spans</svg>',
        said=said, spans=join(spans),
    )  # fmt: skip


def moment(at: float) -> str:
    """Seconds since the epoch as `2026-11-23 17:25 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _small_print(trajectory: Trajectory, run_info: RunInfo) -> Html:
    settings, source = trajectory.settings, trajectory.brief.source  # an edit has the size of its source
    parts = [
        html("job <code>$id</code>", id=run_info.job) if run_info.job else NOTHING,
        html("submitted $when", when=moment(run_info.created)) if run_info.created else NOTHING,
        html("$w × $h pixels", w=settings.width, h=settings.height) if settings.width and not source else NOTHING,
        html("seed $seed", seed=trajectory.seed),
    ]
    return join((part for part in parts if part), " · ")


def _lead(book: Book, over: bool) -> Html:
    """The best picture, large."""
    state = book.state
    image = state.deliverable
    if image is None:
        said = "No picture was drawn." if over else "There is no picture yet."
        return html('<p class="lead none">$said</p>', said=said)
    kind, score = "Newest picture, not accepted yet", ""
    if state.best == image:
        kind = "Final picture" if over else "Best picture so far"
        score = f", {state.counts.met} of {state.counts.total} goals met"
    return _large(book, image, kind, score)


def _picked(book: Book, picked: Picked) -> Html:
    """What a person picked, large, with what is known of it; the goals beside it are of the loop's choice."""
    goals = picked.goals
    judged = goals.met + goals.missed + goals.unsure
    known = f"{goals.met} of {count(goals.total, 'goal')} met on it" if judged else "no verifier looked at it"
    note = html(
        '<p class="note">Picked by hand in place of what the loop ended with: $known. The goals shown here are '
        "those of the loop’s choice.</p>",
        known=known,
    )
    return html("<div>$large$note</div>", large=_large(book, picked.image, "Picked by hand", ""), note=note)


def _large(book: Book, image: ImageHash, kind: str, score: str) -> Html:
    state, brief = book.state, book.state.trajectory.brief
    src, full = book.pictures.lead(image), book.pictures.full(image)
    if not src:
        return html('<p class="lead none">The picture is no longer stored.</p>')
    shown = html(
        '<img src="$src" alt="$alt" width="$w" height="$h">',
        src=src, w=state.settings.width or SIDE, h=state.settings.height or SIDE,
        alt=f"{kind} for “{brief.name}”{score}",
    )  # fmt: skip
    return fill(
        "lead",
        picture=html('<a href="$full">$shown</a>', full=full, shown=shown) if full else shown,
        kind=kind,
        where=book.names.get(image, ""),
        link=html(' · <a href="$full">full size</a>', full=full) if full else NOTHING,
    )


def _open_goals(book: Book) -> Html:
    """What is not met on the best picture: the first thing that a designer asks."""
    standing, counts = book.state.standing, book.state.counts
    if not standing:
        return NOTHING
    lists = [
        html(
            '<h3>$n $words</h3><ul class="goals">$goals</ul>',
            n=len(ids),
            words=words,
            goals=book.goal_links(ids, standing),
        )
        for outcome, words in ((Outcome.MISSED, "missed"), (Outcome.UNSURE, "could not be judged"))
        if (
            ids := [
                goal.id for goal in book.state.goals if goal.id in standing and standing[goal.id].outcome is outcome
            ]
        )
    ]
    return html(
        '<p class="score"><strong>$met</strong> of $total met</p>$lists',
        met=counts.met, total=count(counts.total, "goal"), lists=join(lists),
    )  # fmt: skip


def _source(book: Book) -> Html:
    source = book.state.trajectory.brief.source
    if not source:
        return NOTHING
    src, full = book.pictures.thumb(source), book.pictures.full(source)
    if not src:
        return html('<p class="note">It started from a picture that is no longer stored.</p>')
    shown = html('<img src="$src" alt="The picture that the brief starts from">', src=src)
    return html(
        '<figure class="source">$picture<figcaption>$said</figcaption></figure>',
        picture=html('<a href="$full">$shown</a>', full=full, shown=shown) if full else shown,
        said=book.names[source].capitalize(),
    )


def _settings(trajectory: Trajectory) -> Html:
    def shown(value: object) -> str:
        return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    return join(
        html("<div><dt>$key</dt><dd>$value</dd></div>", key=key, value=shown(value))
        for key, value in trajectory.settings.model_dump(mode="json").items()
    )
