"""Makes torchvision importable beside a CPU-only torch.

The package index's torchvision registers kernels for its detection operators when its CUDA library loads; beside a
CPU-only torch that library does not load, and `import torchvision` fails: "operator torchvision::nms does not exist"
(pytorch/vision#9077). Declaring the schemas of the operators before that import is enough: nothing here calls them.
"""

import importlib.util
import sys

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def declare_missing_operators() -> torch.library.Library | None:
    """Declare those operators if torchvision is there, was not imported yet, and torch has no CUDA of its own."""
    if (
        "torchvision" in sys.modules
        or torch.version.cuda is not None
        or importlib.util.find_spec("torchvision") is None
    ):
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    return library


# Kept alive: an operator is gone when its library object is.
LIBRARY = declare_missing_operators()
