"""What a job cost, and how long each kind of step took, wasted attempts included."""

from collections.abc import Sequence
from dataclasses import dataclass

from director.report.html import NOTHING, Html, fill, html, join
from director.report.marks import duration
from director.report.run_info import Attempt, RunInfo
from director.seats import STEP_KINDS
from director.state import State
from director.transcript import count

_COUNTS = {
    "vlm_calls": "calls of the VLM", "prompt_tokens": "prompt tokens", "completion_tokens": "tokens written",
    "vlm_re_asks": "replies asked for again", "vlm_salvaged": "replies completed by code",
    "vlm_repairs": "details of replies mended",
    "denoising_steps": "denoising steps", "ocr_calls": "OCR readings", "out_of_memory": "times out of memory",
}  # fmt: skip


@dataclass(frozen=True)
class Share:
    """The attempts of one kind of step. Seconds of workers, `wasted` being those that were not committed."""

    kind: str
    attempts: int
    failed: int
    useful: float
    wasted: float

    @property
    def all(self) -> float:
        return self.useful + self.wasted


def shares(attempts: Sequence[Attempt]) -> list[Share]:
    """By kind of step, in the order of a round."""
    given = {each.kind for each in attempts}
    kinds = [*(kind for kind in STEP_KINDS if kind in given), *sorted(given - STEP_KINDS.keys())]
    found: list[Share] = []
    for kind in kinds:
        own = [each for each in attempts if each.kind == kind]
        lost = [each for each in own if not each.committed]
        useful = sum(each.seconds for each in own if each.committed)
        found.append(Share(kind, len(own), len(lost), useful, sum(each.seconds for each in lost)))
    return found


def section(state: State, run_info: RunInfo) -> Html:
    usage = state.usage
    calls = [
        count(usage.rounds, "round"), count(usage.renders, "picture"), f"{usage.planner_calls} by the planner",
        f"{usage.judge_calls} by the judge", f"{usage.verifier_calls} by the verifier",
    ]  # fmt: skip
    said = f"{calls[0]}, {calls[1]}. Calls: {', '.join(calls[2:])}."
    if run_info.unreadable:
        said += f" Left out: {count(run_info.unreadable, 'record')} of tries that can't be read."
    if not run_info.attempts:
        return html('<p>$said</p><p class="note">No times were recorded.</p>', said=said)
    parts = shares(run_info.attempts)
    return fill(
        "cost",
        said=said,
        wall=_wall(parts, run_info),
        rows=join((_row(part, max(p.all for p in parts)) for part in parts), "\n"),
        attempts=sum(part.attempts for part in parts),
        failed=sum(part.failed for part in parts),
        total=duration(sum(part.all for part in parts)),
        counts=_counts(run_info.attempts),
        troubles=_troubles(run_info.attempts),
    )


def _row(part: Share, most: float) -> Html:
    useful, wasted = (100 * value / most if most else 0.0 for value in (part.useful, part.wasted))
    lost = (
        html('<span class="wasted">$n wasted, $time</span>', n=part.failed, time=duration(part.wasted))
        if part.failed
        else NOTHING
    )
    kind = STEP_KINDS.get(part.kind)
    return fill(
        "share",
        name=kind.heading if kind else part.kind, attempts=part.attempts, lost=lost, time=duration(part.all),
        useful=f"{useful:.2f}", wasted=f"{wasted:.2f}",
    )  # fmt: skip


def _wall(parts: Sequence[Share], run_info: RunInfo) -> Html:
    """Work beside the clock: what is left was spent in queues, or between two attempts."""
    work = sum(part.all for part in parts)
    if run_info.created is None or run_info.ended is None:
        return html("<p>$work of work.</p>", work=duration(work))
    wall = max(run_info.ended - run_info.created, 0.0)
    waited = max(wall - work, 0.0)
    return html(
        "<p>$wall from submit to end: $work of work and $waited of waiting for a worker or between tries.</p>",
        wall=duration(wall), work=duration(work), waited=duration(waited),
    )  # fmt: skip


def _counts(attempts: Sequence[Attempt]) -> Html:
    sums = {name: sum(each.counts.get(name, 0) for each in attempts) for name in _COUNTS}
    said = [f"{total:,} {_COUNTS[name]}" for name, total in sums.items() if total]
    return html("<p>$said.</p>", said=", ".join(said)) if said else NOTHING


def _troubles(attempts: Sequence[Attempt]) -> Html:
    """What went wrong on the way, whatever became of the job."""
    troubled = [each for each in attempts if each.error]
    if not troubled:
        return NOTHING
    lines = (
        html(
            "<li>Step $n, $kind, try $attempt: the $boundary said <bdi>$message</bdi></li>",
            n=each.n, kind=each.kind, attempt=each.attempt, boundary=each.error.boundary, message=each.error.message,
        )
        for each in troubled[:20] if each.error
    )  # fmt: skip
    more = len(troubled) - 20
    rest = html("<li>and $n more</li>", n=more) if more > 0 else NOTHING
    said = "1 try" if len(troubled) == 1 else f"{len(troubled)} tries"
    return html(
        "<details><summary>$n went wrong on the way</summary><ul>$lines$rest</ul></details>",
        n=said, lines=join(lines), rest=rest,
    )  # fmt: skip
