"""Stands in for SGLang's CUDA-only kernel wheel where there is no GPU.

On a CPU without AMX each layer takes its `forward_native` in plain torch, so most names here are only
imported; one that is called after all says which. Not for production.
"""

import sys
import types
from typing import Any

import torch

__version__ = "0.4.10"

_SUBMODULES = (
    "elementwise", "flash_attn", "flash_mla", "kvcacheio", "quantization", "sampling", "sparse_flash_attn",
    "speculative", "top_k",
)  # fmt: skip
_ABSENT = {"fused_qk_norm_cpu"}
"""Operators for which SGLang asks hasattr(), and has a torch path when told no."""


def _missing(name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{name}: there is no such kernel on a CPU")

    call.__name__ = name.rpartition(".")[2]
    return call


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _missing(f"sgl_kernel.{name}")


class _Submodule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _missing(f"{self.__name__}.{name}")


class _Operators:
    """In place of `torch.ops.sgl_kernel`: model files bind its CPU operators by name when imported."""

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_cpu") and not name.startswith("__") and name not in _ABSENT:
            return _missing(f"torch.ops.sgl_kernel.{name}")
        raise AttributeError(name)


def assign_req_to_token_pool_cpu(
    requests: torch.Tensor, pool: torch.Tensor, start: torch.Tensor, end: torch.Tensor, places: torch.Tensor, *_: Any
) -> None:
    """Row by row: pool[request, start:end] takes the next end - start of `places`."""
    at = 0
    for request, first, last in zip(requests.tolist(), start.tolist(), end.tolist(), strict=True):
        pool[request, first:last] = places[at : at + last - first].to(pool.dtype)
        at += last - first


def _unpinned(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{**kwargs, "pin_memory": False} if "pin_memory" in kwargs else kwargs)

    return call


def _install() -> None:
    for name in _SUBMODULES:
        module = _Submodule(f"{__name__}.{name}")
        sys.modules[module.__name__] = module
        globals()[name] = module
    if not hasattr(torch.ops.sgl_kernel, "initialize"):
        torch.ops.sgl_kernel = _Operators()
    # LoRA's memory pool asks for pinned host memory without looking whether there is an accelerator.
    for name in ("empty", "zeros", "ones", "full", "tensor", "empty_like", "zeros_like", "arange"):
        setattr(torch, name, _unpinned(getattr(torch, name)))
    torch.Tensor.pin_memory = lambda self, *args, **kwargs: self


_install()
