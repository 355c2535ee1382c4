"""The orders of a job as buttons of its report, and what a press does."""

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from api.forms import Form, SentForm
from api.pages.answers import PageRoute
from api.pages.buttons import Buttons, elsewhere, form
from api.picking import Picking, Picks
from api.problems import invalid
from api.routes import ApiState, AppState
from director.report import Controls
from director.report.html import NOTHING, Html
from tasks.jobs import PRIORITIES, JobStatus
from tasks.ledger.types import Record

ORDERS = {
    "pause": "Pause",
    "resume": "Resume",
    "sooner": "Raise priority",
    "requeue": "Try again where it stopped",
    "undo": "Deliver the loop’s choice again",
    "cancel": "Cancel the job",
}
PICK = "pick "
"""Before round and candidate, as in `pick 2.3`."""
_CANCEL = (
    "This can’t be taken back: a cancelled job does not go on. What it has drawn stays, and a new job can go on from "
    "its picture (visiondirector submit --from)."
)

orders = APIRouter(route_class=PageRoute)


def controls(record: Record, picked: bool, token: str, asked: str) -> Controls:
    """The buttons that can do something now. `picked`: a person chose what is delivered; `asked` is an order that the
    page asks about once more."""
    active = not record.ended
    works = {
        "pause": active and not record.paused,
        "resume": active and record.paused,
        "sooner": active and record.priority > 0,
        "requeue": record.status is JobStatus.FAILED and not record.stop,
        "undo": picked,
        "cancel": active and not record.cancel,
    }
    report = f"/v1/jobs/{record.job}/report"
    buttons = Buttons(
        to=f"/jobs/{record.job}/orders",
        words={name: words for name, words in ORDERS.items() if works[name]},
        asks={"cancel": _CANCEL},
        asked=asked,
        ask=lambda name: f"{report}?ask={name}" if name else report,
    )
    return Controls(form(buttons, token), _pick if record.ended else _no_pick)


def _pick(round: int, place: int) -> Html:
    return elsewhere(f"{PICK}{round}.{place}", "Deliver this", f"Deliver candidate {place} of round {round}")


def _no_pick(round: int, place: int) -> Html:
    return NOTHING


@orders.post("/jobs/{id}/orders", include_in_schema=False)
def order(state: ApiState, form: SentForm, id: str) -> Response:
    """A button of the page."""
    _carry_out(state, form, id, form.fields.get("order", ""))
    return RedirectResponse(f"/v1/jobs/{id}/report", 303)


def _carry_out(state: AppState, form: Form, id: str, order: str) -> None:
    service, caller = state.service, form.caller
    if order.startswith(PICK):
        Picks(service).pick(caller, id, _candidate(order))
        return
    match order:
        case "pause" | "resume":
            service.order(caller, id, order)
        case "sooner":
            now = service.find(caller.reach, id).priority
            service.order(caller, id, "priority", priority=max((each for each in PRIORITIES if each < now), default=0))
        case "requeue":
            service.requeue(caller, id)
        case "cancel":
            service.cancel(caller, id)
        case "undo":
            Picks(service).undo(caller, id)
        case _:
            raise invalid("order", "is none of the page's", f"choose from {', '.join(ORDERS)}")


def _candidate(order: str) -> Picking:
    """Raises Problem 422."""
    round, _, place = order.removeprefix(PICK).partition(".")
    try:
        return Picking(round=int(round), candidate=int(place))
    except ValueError:
        raise invalid("order", "names no candidate", "as in `pick 2.3`: a round and its candidate") from None
