"""What no other try mends: weights, a driver, a full disk. The operator has to act, and no job is charged for it."""

import errno
import pickle
import re
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module, util

from director.errors import Actor

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NO_DRIVER = re.compile(
    r"no NVIDIA driver|NVIDIA driver on your system is too old|no CUDA GPUs are available|not compiled with CUDA"
    r"|CUDA driver version is insufficient|no CUDA-capable device|invalid device ordinal|no kernel image is available"
    r"|driver/library version mismatch",
    re.IGNORECASE,
)
_CARD = re.compile(r"\b(?:CUDA|cuDNN|cuBLAS|HIP)|out of memory|can't allocate memory", re.IGNORECASE)
"""A fault of the card or of its memory, which is none of the files that are read meanwhile."""


class Unusable(Exception):
    """Something that this editor stands on must be mended. Its attributes are what `director.errors.boundary` reads."""

    actor = Actor.OPERATOR

    def __init__(self, message: str, resource: str, fix: str) -> None:
        super().__init__(message)
        self.resource = resource
        self.fix = fix


@contextmanager
def operators_matter(resource: str, reading: bool = False) -> Generator[None]:
    """Raises Unusable for a full disk and a missing driver and, while files are read, for those that can't be used.

    Everything else passes as it is: what a card does wrong, memory that is short, and errors of this program.
    """
    try:
        yield
    except (*_FAULTS, _safetensor_error()) as error:
        fix = _fix(error, reading)
        if fix is None:
            raise
        raise Unusable(f"{resource}: {type(error).__name__}: {error}", resource, fix) from error


_FAULTS = (
    OSError, ValueError, LookupError, ImportError, AttributeError, TypeError, EOFError, AssertionError, RuntimeError,
    pickle.UnpicklingError,
)  # fmt: skip


def _fix(error: Exception, reading: bool) -> str | None:
    """What the operator can do; None where it is not the operator's matter."""
    said = str(error)
    if (isinstance(error, OSError) and error.errno in _DISK) or _FULL.search(said):
        return "make room on the disk"
    if _NO_DRIVER.search(said):
        return "mend the driver, or name another device for this editor"
    if isinstance(error, ImportError):
        return "install what is missing: make setup-models"
    if reading and not _CARD.search(said):
        return "fetch the weights again, or mend the editor's settings"
    return None


def _safetensor_error() -> type[Exception]:
    """What a cut file of weights raises. Its library comes with the models."""
    return import_module("safetensors").SafetensorError if util.find_spec("safetensors") else OSError
