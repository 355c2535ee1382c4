"""Every round: its instruction, its micro-grid, which candidate was picked and why, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from director.report.html import NOTHING, Html, fill, html, join
from director.report.marks import listed
from director.report.run_info import Controls, Pictures
from director.state import Round, Standing, State, count_goals
from director.transcript import count
from director.types import SIDE, ActionKind, Candidate, Decided, GoalId, ImageHash, Region

_FEW = 5  # goals in a list that is shown unfolded


@dataclass(frozen=True)
class Book:
    """What every part of a report looks things up in."""

    state: State
    pictures: Pictures
    numbers: Mapping[GoalId, int]
    names: Mapping[ImageHash, str]
    controls: Controls
    by_hand: ImageHash | None

    def goal_links(self, ids: Sequence[GoalId], seen: Standing | None = None) -> Html:
        """Items of a list: goals by number and words, each linked to its row, with what was `seen` of them."""
        texts = {goal.id: goal.wish for goal in self.state.goals}
        return join(
            html(
                '<li><a href="#goal-$id"><span class="sr">goal </span>$number</a> <bdi>$words</bdi>$seen</li>',
                id=id, number=self.numbers.get(id, id), words=_short(texts.get(id, ""), 90),
                seen=html(' <bdi class="seen">$seen</bdi>', seen=seen[id].evidence) if seen and id in seen else NOTHING,
            )
            for id in ids
        )  # fmt: skip


def open_book(state: State, pictures: Pictures, controls: Controls, by_hand: ImageHash | None) -> Book:
    """`by_hand` is the picture that a person picked."""
    names, goes_on = dict[ImageHash, str](), state.trajectory.brief.continues is not None
    if source := state.trajectory.brief.source:
        names[source] = "the picture that it goes on from" if goes_on else "the picture that was sent"
    for each in state.rounds:
        for i, candidate in enumerate(each.candidates, 1):
            names.setdefault(candidate.image, f"round {each.number}, candidate {i}")
    numbers = {goal.id: i for i, goal in enumerate(state.goals, 1)}
    return Book(state, pictures, numbers, names, controls, by_hand)


def sections(book: Book) -> Html:
    if not book.state.rounds:
        return html('<p class="note">No round has begun yet.</p>')
    return join((_round(book, each) for each in book.state.rounds), "\n")


def fate(each: Round) -> tuple[str, str]:
    """(class, words): what became of a round."""
    if each.decided is None:
        return "open", "not decided"
    return ("kept", "accepted") if each.decided.accepted else ("undone", "rolled back")


def _round(book: Book, each: Round) -> Html:
    action = each.planned.action
    state, words = fate(each)
    verb = "Draw" if action.kind is ActionKind.GENERATE else "Edit"
    base = book.names.get(each.planned.base or "", "")
    return fill(
        "round",
        number=each.number,
        state=state,
        fate=words,
        verb=verb,
        base=html(" of $base", base=base) if base else NOTHING,
        instruction=_instruction(action.instruction),
        targets=join([_targets(book, action.targets), _chosen(each)]),
        grid=join((_candidate(book, each, i, c) for i, c in enumerate(each.candidates, 1)), "\n"),
        waiting=NOTHING if each.candidates else html('<p class="note">Nothing is rendered yet.</p>'),
        pick=_pick(each),
        decision=_decision(book, each),
    )


def _instruction(words: str) -> Html:
    if len(words) <= 500:
        return html('<blockquote dir="auto">$words</blockquote>', words=words)
    return html(
        '<details class="long"><summary><span class="quote" dir="auto">$start</span></summary>'
        '<blockquote dir="auto">$words</blockquote></details>',
        start=_short(words, 240), words=words,
    )  # fmt: skip


def _targets(book: Book, targets: Sequence[GoalId]) -> Html:
    if not targets:
        return html("<p>For no goal: the accepted draft, drawn in full.</p>")
    if len(targets) == len(book.state.goals):
        return (
            html("<p>For all $n.</p>", n=count(len(targets), "goal"))
            if len(targets) > 1
            else html("<p>For the one goal.</p>")
        )
    return _goal_list(book, "For", targets)


def _chosen(each: Round) -> Html:
    """What the planner said when it chose this round."""
    if each.chosen is None:
        return NOTHING
    said = [words for words in (each.chosen.inspect, each.chosen.revise) if words]
    return html(
        '<p>Chosen: $name. <bdi>$said</bdi> <span class="by">$by</span></p>',
        name=each.chosen.option.name, said=" → ".join(said), by=each.chosen.by,
    )  # fmt: skip


def _candidate(book: Book, each: Round, place: int, candidate: Candidate) -> Html:
    picked = candidate.image == each.picked
    state, words = fate(each)
    standing = each.standing(candidate.image)
    seen = count_goals(standing.values(), len(standing))
    checked = f"{seen.met} of {seen.total} goals met" if standing else ""
    given = [score for one in each.comparisons if (score := one.score(candidate.image)) is not None]
    by_hand = "picked by hand" if candidate.image == book.by_hand else ""
    notes = [by_hand, "picked" if picked else "", f"judge {given[-1]:.2f}" if given else "", checked]
    alt = f"Round {each.number}, candidate {place} of {len(each.candidates)}"
    alt += f": picked, {words}" if picked else ": not picked"
    return fill(
        "candidate",
        id=f"r{each.number}-c{place}",
        state=f"{'picked' if picked else 'passed'} {state}",
        round=each.number,
        place=place,
        picture=_picture(book, candidate.image, alt, f"r{each.number}-c{place}"),
        region=_region(each.planned.action.region),
        notes=" · ".join(note for note in notes if note) or "not picked",
        seed=candidate.seed,
        pick=NOTHING
        if candidate.image == (book.by_hand or book.state.deliverable)
        else book.controls.pick(each.number, place),
    )


def _picture(book: Book, image: ImageHash, alt: str, id: str) -> Html:
    """A thumbnail that leads to the full size: elsewhere, or to itself, enlarged by style.css."""
    src = book.pictures.thumb(image)
    if not src:
        return html('<span class="gone">$alt. This picture is no longer stored.</span>', alt=alt)
    settings = book.state.settings
    return html(
        '<a href="$full"><img src="$src" alt="$alt" width="$width" height="$height"$lazy decoding="async"></a>',
        full=book.pictures.full(image) or f"#{id}", src=src, alt=alt,
        width=settings.width or SIDE, height=settings.height or SIDE,
        lazy=NOTHING if src.startswith("data:") else Html(' loading="lazy"'),
    )  # fmt: skip


def _region(region: Region | None) -> Html:
    """Where the edit was allowed to paint."""
    if region is None:
        return NOTHING
    return html(
        '<svg class="region" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="$x" y="$y" width="$w" height="$h" vector-effect="non-scaling-stroke"/></svg>',
        x=f"{100 * region.x0:.2f}", y=f"{100 * region.y0:.2f}",
        w=f"{100 * (region.x1 - region.x0):.2f}", h=f"{100 * (region.y1 - region.y0):.2f}",
    )  # fmt: skip


def _pick(each: Round) -> Html:
    """Which candidate, and why."""
    if not each.candidates:
        return NOTHING
    if each.picked is None:
        return html("<p>The judge has not picked yet.</p>")
    if not each.comparisons:
        return html("<p>The only candidate, so nothing was to pick.</p>")
    last, places = each.comparisons[-1], {c.image: i for i, c in reversed([*enumerate(each.candidates, 1)])}
    again = NOTHING
    if len(each.comparisons) > 1:
        between = listed(list(dict.fromkeys(str(places[c.image]) for c in last.asked if c.image in places)))
        again = html(
            "<p>The first candidates met too few goals, so more were rendered; at last it was between $between.</p>",
            between=between,
        )
    return html(
        '<p><strong>Picked candidate $place of $total.</strong> <bdi>$why</bdi> <span class="by">$by</span></p>$again',
        place=places.get(each.picked, "?"), total=len(each.candidates), why=last.selected.why, by=last.selected.by,
        again=again,
    )  # fmt: skip


def _decision(book: Book, each: Round) -> Html:
    decided = each.decided
    if decided is None:
        return html('<p class="fate open">Not decided yet.</p>')
    state, words = fate(each)
    parts = [
        html(
            '<p class="fate $state"><strong>$words</strong>$why</p>',
            state=state, words=words.capitalize(), why=_why(decided),
        )
    ]  # fmt: skip
    kept = decided.accepted
    if decided.gained:
        parts.append(_goal_list(book, "Gained" if kept else "It would have gained", decided.gained))
    if decided.lost:
        seen = each.standing(decided.image)
        parts.append(_goal_list(book, "Lost" if kept else "It would have lost", decided.lost, seen))
    if preserved := each.preservation(decided.image):
        parts.append(
            html(
                '<p class="note">Outside what was asked, $share of the pixels changed (colour difference at the 99.9th '
                "percentile $delta, lowest SSIM $ssim).</p>",
                share=f"{preserved.changed_share:.1%}", delta=f"{preserved.p999_delta_e:.1f}",
                ssim=f"{preserved.min_ssim:.2f}",
            )
        )  # fmt: skip
    return join(parts, "\n")


def _goal_list(book: Book, about: str, ids: Sequence[GoalId], seen: Standing | None = None) -> Html:
    goals = html('<ul class="goals">$goals</ul>', goals=book.goal_links(ids, seen))
    if len(ids) <= _FEW:
        return html("<p>$about:</p>\n$goals", about=about, goals=goals)
    return html(
        "<details><summary>$about $n</summary>$goals</details>",
        about=about, n=count(len(ids), "goal"), goals=goals,
    )  # fmt: skip


def _why(decided: Decided) -> str:
    """The reason in words, unless it is only the goals that are listed below it."""
    why = decided.why.removeprefix("rolled back: ")
    return "" if not why or why.startswith(("lost ", "gained ")) else f": {why}"


def _short(words: str, most: int) -> str:
    line = " ".join(words.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
