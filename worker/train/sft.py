"""The supervised start: what a teacher chose, with a prior that stays soft.

A policy that only copies is sure of itself, and GRPO then has nothing to compare. So part of the loss pulls towards an
even chance for all options of a menu.
"""

import random
from collections.abc import Sequence

from director.types import Value
from worker.train import libraries
from worker.train.libraries import Tensor, Weights
from worker.train.model import shares
from worker.train.rollouts import Decision, Line


class SftSettings(Value):
    epochs: int = 14
    batch: int = 128
    rate: float = 1e-3
    soft: float = 0.35
    """Share of the loss that asks for an even chance."""
    seed: int = 0


def taught(weights: Weights, lines: Sequence[Line], how: SftSettings) -> list[float]:
    """Teach `weights` in place; the loss of each epoch."""
    torch = libraries.torch()

    decisions = [decision for line in lines for decision in line.decisions]
    optimizer = torch.optim.AdamW(list(weights.values()), how.rate)
    losses: list[float] = []
    for epoch in range(how.epochs):
        random.Random(f"{how.seed}/{epoch}").shuffle(decisions)
        total = 0.0
        for n in range(0, len(decisions), how.batch):
            loss = _loss(weights, decisions[n : n + how.batch], how.soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(decisions[n : n + how.batch])
        losses.append(round(total / len(decisions), 4))
    return losses


def _loss(weights: Weights, decisions: Sequence[Decision], soft: float) -> Tensor:
    torch = libraries.torch()

    found = shares(weights, decisions)
    taken = found[torch.arange(len(decisions)), torch.tensor([d.number for d in decisions])]
    offered = torch.tensor([len(d.menu) for d in decisions])
    even = found.masked_fill(found.isinf(), 0.0).sum(1) / offered
    return -((1 - soft) * taken + soft * even).mean()
