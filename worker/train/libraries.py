"""The libraries of the extra `train`, imported where they are used: the ordinary environment has none of them."""

from importlib import import_module
from typing import Any

from director.errors import DirectorError

Tensor = Any
Weights = dict[str, Any]
"""Of the small policy, as torch tensors by name."""


def torch() -> Any:
    return library("torch")


def library(name: str) -> Any:
    """Raises DirectorError that says how to install it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        fix = "make setup-models, then .venv-models/bin/visiondirector-worker train"
        raise DirectorError(f"{error.name} is not installed", fix) from error


def settle() -> None:
    """What makes a run repeatable. Raises DirectorError without torch."""
    torch().set_num_threads(1)
    torch().use_deterministic_algorithms(True)
