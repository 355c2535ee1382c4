"""Lets the ordinary torchvision wheel import beside a CPU torch: it registers fake kernels for two
C++ operators that it can't load there, so they are declared first. Loaded by a .pth file.
"""

import importlib.abc
import sys
from typing import Any


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    kept: Any = None

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname != "torchvision":
            return
        sys.meta_path.remove(self)
        import torch

        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _BeforeTorchvision.kept = library  # its definitions end with it


sys.meta_path.insert(0, _BeforeTorchvision())
