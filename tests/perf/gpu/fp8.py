"""A linear layer whose products are made in FP8: weights scaled by row, activations by token.

What torchao's Float8Dynamic(PerRow) does, without torchao. Norms and modulation stay as they are.
"""

from typing import Any

from worker.diffusion.loading import torch

LARGEST = 448.0  # of float8_e4m3fn


def replace_linears(transformer: Any) -> int:
    """Replace the linears of the repeated blocks, modulation excepted; gives their number."""
    nn, layer = torch().nn, fp8_linear()
    count = 0
    for block in transformer.transformer_blocks:
        for name, module in list(block.named_modules()):
            if isinstance(module, nn.Linear) and "_mod" not in name:
                block.set_submodule(name, layer(module))
                count += 1
    return count


def fp8_linear() -> Any:
    """The class; made here, so that torch is imported when it is needed."""
    t = torch()

    class Fp8Linear(t.nn.Module):
        def __init__(self, linear: Any) -> None:
            super().__init__()
            weight = linear.weight.detach().float()
            scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / LARGEST
            self.register_buffer("weight", (weight / scale).to(t.float8_e4m3fn))
            self.register_buffer("scale", scale.t().contiguous())
            self.bias = linear.bias

        def forward(self, x: Any) -> Any:
            flat = x.reshape(-1, x.shape[-1])
            scale = flat.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / LARGEST
            small = (flat.float() / scale).to(t.float8_e4m3fn)
            if x.is_cuda:
                how = {"scale_a": scale, "scale_b": self.scale, "out_dtype": x.dtype, "use_fast_accum": True}
                made = t._scaled_mm(small, self.weight.t(), **how)
            else:
                made = ((small.float() * scale) @ (self.weight.float().t() * self.scale)).to(x.dtype)
            if self.bias is not None:
                made = made + self.bias
            return made.reshape(*x.shape[:-1], -1)

    return Fp8Linear
