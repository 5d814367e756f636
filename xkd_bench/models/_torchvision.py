"""Makes torchvision importable beside a CPU-only torch.

The package index's torchvision registers kernels for its detection operators when its CUDA library loads; beside a
CPU-only torch that library does not load, and `import torchvision` fails: "operator torchvision::nms does not exist"
(pytorch/vision#9077). Declaring the schemas of the two operators and importing it again is enough: nothing here calls
them. They are declared after a failure only: where the library does load (CUDA, macOS, or a torchvision built for the
CPU), declaring them as well would end the process.
"""

import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> torch.library.Library | None:
    """Import torchvision. Returns what declares its operators where it lacks them, None where it needs no help."""
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    else:
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half-imported
    import torchvision  # noqa: F401

    return library


# Kept alive: an operator is gone when its library object is.
LIBRARY = import_torchvision()
