"""What the network of a dense method costs where the source modality is missing, beside the plain student."""

import torch

from protocols import load_budget
from xkd_bench import methods
from xkd_bench.errors import UsageError
from xkd_bench.methods.dense import DenseMethod
from xkd_bench.models.cost import cost_of
from xkd_bench.models.segmenters import build_segmenter

CHANNELS, CLASSES = 3, 13
"""Of both modalities, as networks that share convolutions need; of the classifier, which is the same in all."""


def inference_cost(method: str, student: str, budget: str) -> dict[str, int]:
    """Of one image at the budget's size, counted: `operations` and `parameters` of the method's network, options as
    they come, with the target alone; `both_operations` with both modalities; `plain_operations`, `plain_parameters`.

    The plain network has the same stem: one that takes single-channel images is a little cheaper, and is another
    network. Nothing is computed: the networks are on the device `meta`.
    """
    kind = methods.get(method)
    if not issubclass(kind, DenseMethod):
        raise UsageError(f"method '{method}' is not for segmentation")
    size = load_budget(budget, "segmentation").sizes()[1]
    with torch.device("meta"):
        plain = build_segmenter(student, CHANNELS, CLASSES, size)
        options = kind.parse_options(method, {})
        network = kind.build_student(student, (CHANNELS, CHANNELS), CLASSES, size, options)
        image = torch.zeros(1, CHANNELS, *size)
        fuses = "both" in kind.inputs
        alone = cost_of(network, *([None, image] if fuses else [image]))
        both = cost_of(network, image, image) if fuses else alone
        bare = cost_of(plain, image)
    return {
        "operations": alone.operations, "parameters": alone.parameters, "both_operations": both.operations,
        "plain_operations": bare.operations, "plain_parameters": bare.parameters,
    }  # fmt: skip
