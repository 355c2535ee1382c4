"""The small policy on the planner's seat: it answers with an option and says nothing else."""

import hashlib
from pathlib import Path

import numpy as np

from director.seats import Context, DecideRequest
from director.types import Chosen
from worker.policy import tokens
from worker.policy.network import Network, load_network


class PolicyDecider:
    """Takes the likeliest option; of equals, the one that stands first on the menu."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._by = f"policy:{name}"

    def decide(self, request: DecideRequest, context: Context) -> Chosen:
        context.check()
        (scores,) = self._network.scores([tokens.question(request)], [tokens.menu(request)])
        # Rounded: a last digit that differs between two machines can't turn into another choice.
        return request.chosen(int(np.argmax(scores.round(6))), by=self._by)


def open_decider(path: Path) -> PolicyDecider:
    """The policy in a file, named by its content. Raises DirectorError that names the file."""
    network = load_network(path)
    return PolicyDecider(network, hashlib.sha256(path.read_bytes()).hexdigest()[:12])
