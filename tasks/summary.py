"""How a job stands and what it cost: the small values that the ledger keeps, so that a list reads nothing else."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from director.state import GoalCounts, State, coverage
from director.types import ImageHash, Share, StopReason, Trajectory, Value


class GoalSummary(GoalCounts):
    """Goals by their standing on the best picture (those not looked at yet are in `total` only), and what was done.

    `coverage` is the share of the goals' weight that is met; None before the first picture was accepted.
    `image` is the best picture. `failed` says why the loop itself ended in failure.
    """

    coverage: Share | None = None
    rounds: int = 0
    renders: int = 0
    failed: str = ""
    image: ImageHash | None = None

    @classmethod
    def of(cls, trajectory: Trajectory) -> Self:
        state, stop = State.of(trajectory), trajectory.stop
        return cls(
            image=state.deliverable,
            **state.counts.model_dump(),
            coverage=coverage(state.goals, state.standing) if state.standing else None,
            rounds=len(state.rounds),
            renders=len(state.candidates),
            failed=stop.why[:500] if stop and stop.reason is StopReason.FAILED else "",
        )


class Cost(Value):
    """What attempts took, in whole numbers so that a ledger can add them up.

    `gpu_ms` counts the time in which editors drew on a GPU. VLM servers are shared by many jobs: what they took is in
    `ms`, calls and tokens only. An attempt is wasted when another one's outcome counts, or none does.
    """

    ms: int = 0
    gpu_ms: int = 0
    renders: int = 0  # pictures
    denoising_steps: int = 0
    vlm_calls: int = 0
    prompt_tokens: int = 0  # of VLMs
    completion_tokens: int = 0
    attempts: int = 0
    wasted_attempts: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{name: getattr(self, name) + getattr(other, name) for name in Cost.model_fields})

    @classmethod
    def of(cls, attempt: Mapping[str, Any]) -> "Cost":
        """From an attempt record. This is the one place that knows how seats name their counts.

        Raises TypeError or ValueError for a record that is none.
        """
        counts: dict[str, int] = dict(attempt.get("counts") or {})
        # An editor counts what its text encoder reads under the same name as a VLM.
        by_vlm = counts if attempt.get("kind") != "render" else {}
        return Cost(
            ms=round(1000 * float(attempt.get("seconds") or 0)),
            gpu_ms=counts.get("gpu_ms", 0),
            renders=int(attempt.get("renders") or 0),
            denoising_steps=counts.get("denoising_steps", 0),
            vlm_calls=counts.get("vlm_calls", 0),
            prompt_tokens=by_vlm.get("prompt_tokens", 0),
            completion_tokens=by_vlm.get("completion_tokens", 0),
            attempts=1,
            wasted_attempts=0 if attempt.get("committed") else 1,
        )

    @classmethod
    def total(cls, attempts: Iterable[Mapping[str, Any]]) -> "Cost":
        return sum((cls.of(attempt) for attempt in attempts), Cost())


def end_of(attempts: Iterable[Mapping[str, Any]]) -> float:
    """When the last of them ended, in seconds since the epoch; 0.0 without any."""
    ends = (float(attempt.get("started") or 0) + float(attempt.get("seconds") or 0) for attempt in attempts)
    return max(ends, default=0.0)


NO_GOALS = GoalSummary()
"""Of a job whose brief was not read yet."""
NO_COST = Cost()
