"""Cases, runs and verdicts for tests, made by hand."""

from collections.abc import Sequence

from director.types import Goal, LoopSettings, Outcome, Verdict
from worker.bench.cases import Arm, Case, Cost, Run, Work

ARM = Arm(name="ours", settings=LoopSettings())


def case(name: str = "a", goals: int = 5, kinds: Sequence[str] = ("color",)) -> Case:
    made = tuple(Goal(id=f"g{n}", text=f"goal {n}", type=kinds[n % len(kinds)]) for n in range(goals))
    return Case(id=name, text=f"a brief called {name}", group="test", goals=made)


def verdicts(of: Case, *seen: tuple[str, float]) -> tuple[Verdict, ...]:
    """One (outcome, confidence) for each goal."""
    return tuple(
        Verdict(
            goal=goal.id,
            outcome=Outcome(outcome),
            score={"met": 0.9, "missed": 0.1, "unsure": 0.5}[outcome],
            confidence=confidence,
            by="hand",
        )
        for goal, (outcome, confidence) in zip(of.goals, seen, strict=True)
    )


def run_for(of: Case, arm: str = "ours", seed: int = 1, error: str = "", renders: float = 2) -> Run:
    cost = Cost(rounds=1, renders=renders, verifier_calls=1)
    picture = None if error else f"pictures/{arm}/{of.id}-{seed}.png"
    return Run(case=of.id, arm=arm, seed=seed, task=of.digest(), picture=picture, cost=cost, error=error)


def work(of: Case, arm: Arm = ARM, seed: int = 1) -> Work:
    return Work(of, arm, seed)
