"""The policy's arithmetic once more, in torch, so that it can learn: the weights of `worker.policy.network` by name."""

from collections.abc import Mapping, Sequence

import numpy as np

from worker.policy.network import BLOCKS, HEADS, WIDTH, Array
from worker.train import libraries
from worker.train.libraries import Tensor, Weights
from worker.train.rollouts import Decision, Line


def as_tensors(weights: Mapping[str, Array], learn: bool) -> Weights:
    torch = libraries.torch()

    return {name: torch.tensor(w, dtype=torch.float32, requires_grad=learn) for name, w in weights.items()}


def as_arrays(weights: Weights) -> dict[str, Array]:
    return {name: w.detach().numpy().astype(np.float64) for name, w in weights.items()}


def shares(weights: Weights, decisions: Sequence[Decision]) -> Tensor:
    """Log-probabilities of the options of each menu, (decisions, longest menu); -inf where a menu is shorter."""
    torch = libraries.torch()

    ids = torch.tensor(_padded([d.question for d in decisions]))
    menus = torch.tensor(_padded([d.menu for d in decisions]))
    sizes = torch.tensor([len(d.menu) for d in decisions])
    ends = torch.tensor([len(d.question) - 1 for d in decisions])
    names = _names(weights, ids)[torch.arange(len(decisions)), ends]
    offered = torch.arange(menus.shape[1])[None] < sizes[:, None]
    return names.gather(1, menus).masked_fill(~offered, -torch.inf).log_softmax(-1)


def logprobs(weights: Weights, lines: Sequence[Line]) -> tuple[Tensor, Tensor]:
    """Of each word of each line, (lines, longest line), 0 for what the environment said; and the mask."""
    torch = libraries.torch()

    decisions = [d for line in lines for d in line.decisions]
    longest = max(len(line.mask) for line in lines)
    mask = torch.tensor([[*line.mask, *(0 for _ in range(longest - len(line.mask)))] for line in lines])
    taken = shares(weights, decisions)[torch.arange(len(decisions)), torch.tensor([d.number for d in decisions])]
    return torch.zeros(mask.shape).masked_scatter(mask.bool(), taken), mask


def _padded(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    longest = max(map(len, rows))
    return [[*row, *(0 for _ in range(longest - len(row)))] for row in rows]


def _names(w: Weights, ids_B_T: Tensor) -> Tensor:
    x = w["words"][ids_B_T] + w["places"][: ids_B_T.shape[1]]
    for n in range(BLOCKS):
        x = x + _attended(w, _norm(w, x, f"{n}.norm1"), f"{n}.attend")
        x = x + _widened(w, _norm(w, x, f"{n}.norm2"), n)
    return _norm(w, x, "norm") @ w["out"] + w["out.shift"]


def _attended(w: Weights, x: Tensor, name: str) -> Tensor:
    rows, length, _ = x.shape
    parts = (x @ w[f"{name}.in"] + w[f"{name}.in.shift"]).view(rows, length, 3, HEADS, WIDTH // HEADS)
    ask, key, value = parts.permute(2, 0, 3, 1, 4)
    attend = libraries.torch().nn.functional.scaled_dot_product_attention
    mixed = attend(ask, key, value, is_causal=True)
    return mixed.transpose(1, 2).reshape(rows, length, WIDTH) @ w[f"{name}.out"] + w[f"{name}.out.shift"]


def _widened(w: Weights, x: Tensor, n: int) -> Tensor:
    gelu = libraries.torch().nn.functional.gelu
    hidden = gelu(x @ w[f"{n}.wide"] + w[f"{n}.wide.shift"], approximate="tanh")
    return hidden @ w[f"{n}.narrow"] + w[f"{n}.narrow.shift"]


def _norm(w: Weights, x: Tensor, name: str) -> Tensor:
    layer_norm = libraries.torch().nn.functional.layer_norm
    return layer_norm(x, (WIDTH,), w[f"{name}.scale"], w[f"{name}.shift"])
