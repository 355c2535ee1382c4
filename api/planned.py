"""A plan as it is asked and answered; the command does without a service what the API does with it."""

from api.forecast_schemas import CardsChance, Planning, PlanOut
from tasks.batch.forecast.plan import Ask, Plan
from tasks.batch.forecast.world import Sort
from tasks.jobs import size_of

_SIDE = 1328  # of a native picture: the largest of a family
_BYTES_OF_PIXEL = 1.5  # of a PNG, where none is stored yet
_RENDER_BYTES = 100_000  # what is written of a render's steps beside pictures: about four snapshots and records


def ask_of(asked: Planning, owner: str, now: float) -> Ask:
    settings = asked.settings()
    twice = settings.adaptive and settings.candidates > 2
    sort = Sort(settings.editor, size_of(settings))
    return Ask(asked.briefs, asked.goals, sort, max(1.0, asked.by - now), settings.rounds * (1 + twice), owner)


def plan_out(found: Plan, asked: Planning, now: float, measured: bool, picture_bytes: float | None = None) -> PlanOut:
    settings = asked.settings()
    each = picture_bytes or (settings.width or _SIDE) * (settings.height or _SIDE) * _BYTES_OF_PIXEL
    # An adaptive render draws two, and the rest only if needed.
    pictures = found.renders * (min(2, settings.candidates) if settings.adaptive else settings.candidates)
    return PlanOut(
        briefs=asked.briefs, goals=asked.goals, by=asked.by, editor=settings.editor, cards=found.cards,
        least=found.least, safe=found.safe,
        around=[
            CardsChance(cards=one.cards, chance=one.chance, p50=now + one.p50, p90=now + one.p90, limits=one.limits)
            for one in found.around
        ],
        limits=found.limits, gpu_hours=found.busy_hours, card_hours=found.card_hours, renders=round(pictures),
        disk_bytes=round(pictures * each + found.renders * _RENDER_BYTES), measured=measured,
        knows_little_of=list(found.knows_little_of),
    )  # fmt: skip
