"""The policy's arithmetic: a transformer of two blocks in numpy, and the file that its weights lie in.

Pre-norm blocks with causal attention, GELU by tanh, learned places. `worker.train.model` is the same in torch, and a
test holds the two together. Sums run in float64 and scores are rounded, so that two machines choose alike.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from director.errors import DirectorError
from worker.policy.tokens import LONGEST, NAMES, WORDS

Array = NDArray[np.float64]
WIDTH, HEADS, BLOCKS = 64, 4, 2
_ABOUT = "about.json"


def shapes() -> dict[str, tuple[int, ...]]:
    """Every weight by name. Matrices are (in, out)."""
    found: dict[str, tuple[int, ...]] = {"words": (len(WORDS), WIDTH), "places": (LONGEST, WIDTH)}
    for n in range(BLOCKS):
        found |= {
            f"{n}.norm1.scale": (WIDTH,), f"{n}.norm1.shift": (WIDTH,),
            f"{n}.attend.in": (WIDTH, 3 * WIDTH), f"{n}.attend.in.shift": (3 * WIDTH,),
            f"{n}.attend.out": (WIDTH, WIDTH), f"{n}.attend.out.shift": (WIDTH,),
            f"{n}.norm2.scale": (WIDTH,), f"{n}.norm2.shift": (WIDTH,),
            f"{n}.wide": (WIDTH, 4 * WIDTH), f"{n}.wide.shift": (4 * WIDTH,),
            f"{n}.narrow": (4 * WIDTH, WIDTH), f"{n}.narrow.shift": (WIDTH,),
        }  # fmt: skip
    last = {"norm.scale": (WIDTH,), "norm.shift": (WIDTH,), "out": (WIDTH, len(NAMES)), "out.shift": (len(NAMES),)}
    return found | last


def initial(seed: int) -> dict[str, Array]:
    """Weights to start from."""
    dice = np.random.default_rng(seed)
    weights: dict[str, Array] = {}
    for name, shape in shapes().items():
        if name.endswith("scale"):
            weights[name] = np.ones(shape)
        elif name.endswith("shift"):
            weights[name] = np.zeros(shape)
        else:
            weights[name] = dice.normal(0.0, 0.02, shape)
    return weights


@dataclass(frozen=True)
class Network:
    """Weights that were checked. `about` says where they come from."""

    weights: Mapping[str, Array]
    about: Mapping[str, Any]

    def scores(self, questions: Sequence[Sequence[int]], menus: Sequence[Sequence[int]]) -> list[Array]:
        """For each question the log-probabilities of its options, in the order of the menu."""
        longest = max(map(len, questions))
        ids = np.zeros((len(questions), longest), int)
        for row, each in zip(ids, questions, strict=True):
            row[: len(each)] = each
        ends = np.array([len(each) - 1 for each in questions])
        names = self._names(ids)[np.arange(len(questions)), ends]
        return [_log_shares(row[list(menu)]) for row, menu in zip(names, menus, strict=True)]

    def _names(self, ids: NDArray[np.int_]) -> Array:
        w = self.weights
        x = w["words"][ids] + w["places"][: ids.shape[1]]
        for n in range(BLOCKS):
            x = x + self._attended(_norm(x, w, f"{n}.norm1"), f"{n}.attend")
            hidden = _gelu(_norm(x, w, f"{n}.norm2") @ w[f"{n}.wide"] + w[f"{n}.wide.shift"])
            x = x + hidden @ w[f"{n}.narrow"] + w[f"{n}.narrow.shift"]
        return _norm(x, w, "norm") @ w["out"] + w["out.shift"]

    def _attended(self, x: Array, name: str) -> Array:
        w, (rows, length, _) = self.weights, x.shape
        parts = (x @ w[f"{name}.in"] + w[f"{name}.in.shift"]).reshape(rows, length, 3, HEADS, WIDTH // HEADS)
        ask, key, value = parts.transpose(2, 0, 3, 1, 4)
        match = ask @ key.transpose(0, 1, 3, 2) / np.sqrt(WIDTH // HEADS)
        match = np.where(np.tri(length, dtype=bool), match, -np.inf)
        share = np.exp(match - match.max(-1, keepdims=True))
        mixed = (share / share.sum(-1, keepdims=True)) @ value
        return mixed.transpose(0, 2, 1, 3).reshape(rows, length, WIDTH) @ w[f"{name}.out"] + w[f"{name}.out.shift"]


def _norm(x: Array, weights: Mapping[str, Array], name: str) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.scale"] + weights[f"{name}.shift"]


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _log_shares(scores: Array) -> Array:
    top = scores - scores.max()
    return top - np.log(np.exp(top).sum())


# --- the file -----------------------------------------------------------------------------------


def dumped(weights: Mapping[str, Array], about: Mapping[str, Any]) -> bytes:
    """A zip of one .npy each (float32) and about.json, the same bytes for the same content."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(_ABOUT), json.dumps(dict(about), sort_keys=True))
        for name in shapes():
            held = io.BytesIO()
            np.save(held, np.asarray(weights[name], np.float32), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), held.getvalue(), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def load_network(path: Path) -> Network:
    """The policy in a file. Raises DirectorError that names the file when it is missing or of another version."""
    fix = "write one with: visiondirector-worker train export"
    try:
        with zipfile.ZipFile(path) as archive:
            about = dict[str, Any](json.loads(archive.read(_ABOUT)))
            weights = {name: _array(archive.read(f"{name}.npy")) for name in shapes()}
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise DirectorError(f"{path} can't be read as a policy: {error}", fix) from error
    wrong = [name for name, shape in shapes().items() if weights[name].shape != shape]
    if wrong:
        raise DirectorError(f"{path} is a policy of another version: {wrong[0]} differs", fix)
    return Network(weights, about)


def _array(data: bytes) -> Array:
    return np.load(io.BytesIO(data), allow_pickle=False).astype(np.float64)
