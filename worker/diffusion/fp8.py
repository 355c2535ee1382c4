"""Linear layers whose products are made in FP8: weights scaled by row, activations by token.

The same as torchao's Float8Dynamic(PerRow), without torchao. Norms, modulation, embeddings and LoRAs stay as they are.
"""

import re
from functools import cache
from importlib import import_module
from typing import Any

LARGEST = 448.0
"""Of float8_e4m3fn."""
CAPABILITY = (8, 9)
"""The first cards that multiply FP8: Ada, then Hopper."""
_WIDE = re.compile(r"_mod\b|norm|lora_")
_MULTIPLE = 16  # of both sides of a weight, which `_scaled_mm` wants


def replace_linears(transformer: Any, device: str) -> int:
    """Replace the linears of the repeated blocks; gives their number.

    A weight is rounded on `device` and stays where it was. LoRAs must be there already: they lie over what is replaced.
    """
    nn, layer, count = import_module("torch.nn"), fp8_linear(), 0
    for block in [each for each in transformer.modules() if type(each).__name__ in transformer._repeated_blocks]:
        for name, module in list(block.named_modules()):
            if isinstance(module, nn.Linear) and not _WIDE.search(name) and _fits(module):
                block.set_submodule(name, layer(module, device))
                count += 1
    return count


def refuse_without_fp8(device: str) -> None:
    """Raises ValueError for a card that cannot multiply FP8. On a CPU the same sums are made wide."""
    torch = import_module("torch")
    if torch.device(device).type == "cuda" and torch.cuda.get_device_capability(device) < CAPABILITY:
        raise ValueError(f"{torch.cuda.get_device_name(device)} can't multiply FP8: set `quantize` to none")


def _fits(linear: Any) -> bool:
    return linear.in_features % _MULTIPLE == 0 and linear.out_features % _MULTIPLE == 0


@cache
def fp8_linear() -> Any:
    """The class; made here, so that torch is imported when it is needed."""
    t = import_module("torch")

    class Fp8Linear(t.nn.Linear):
        """A linear for all that moves and wraps linears; its weight is a parameter of 8 bits."""

        def __init__(self, linear: Any, device: Any = None) -> None:
            super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
            home = linear.weight.device
            weight = linear.weight.detach().to(device or home).float()
            scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / LARGEST
            self.weight = t.nn.Parameter((weight / scale).to(t.float8_e4m3fn).to(home), requires_grad=False)
            self.register_buffer("scale", scale.t().contiguous().to(home))
            self.bias = linear.bias

        def forward(self, x: Any) -> Any:
            flat = x.reshape(-1, x.shape[-1])
            scale = flat.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / LARGEST
            small = (flat.float() / scale).to(t.float8_e4m3fn)
            if x.is_cuda:
                how = {"scale_a": scale, "scale_b": self.scale, "out_dtype": x.dtype, "use_fast_accum": True}
                made = t._scaled_mm(small, self.weight.t(), **how)
            else:
                made = ((small.float() @ self.weight.float().t()) * scale * self.scale).to(x.dtype)
            if self.bias is not None:
                made = made + self.bias
            return made.reshape(*x.shape[:-1], self.out_features)

    return Fp8Linear
