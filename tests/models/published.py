"""State dicts as public releases lay them out, from torchvision's ResNet-50: names by their own rules, not by ours."""

import torch
import torchvision

SHAPES = {
    name: tuple(tensor.shape)
    for name, tensor in torchvision.models.resnet50(weights=None).to("meta").state_dict().items()
}
KINDS = (("conv1", 0, 1), ("conv2", 2, 3), ("conv3", 4, 5))


def resnet50_shapes(k: float) -> dict[str, tuple[int, ...]]:
    """ResNet-50 k times as wide (1/64: one channel where it has 64): all channels but those of images and classes."""
    wide = {}
    for name, shape in SHAPES.items():
        if name == "conv1.weight":
            wide[name] = (int(shape[0] * k), *shape[1:])
        elif name == "fc.weight":
            wide[name] = (shape[0], int(shape[1] * k))
        elif name == "fc.bias":
            wide[name] = shape
        else:
            wide[name] = tuple(int(n * k) if position < 2 else n for position, n in enumerate(shape))
    return wide


def resnet50_state(k: float = 1, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Random numbers of these names and shapes; variances are positive."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in resnet50_shapes(k).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(100, device=device)
        elif device == "meta":
            state[name] = torch.empty(shape, device="meta")
        else:
            scale = (2 / max(1, torch.Size(shape[1:]).numel())) ** 0.5 if len(shape) > 1 else 1.0
            values = scale * torch.randn(shape, generator=generator)
            state[name] = 0.5 + values.abs() if name.endswith("running_var") else values
    return state


def encoder_only(state):
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def prefixed(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def projector(prefix="projector."):
    return {f"{prefix}0.weight": torch.ones(3, 3), f"{prefix}0.bias": torch.ones(3)}


def as_sequential(state):
    """lightly: Sequential(*children without the classifier): the numbers of torchvision's children."""
    children = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool"]
    return {
        f"{children.index(name.split('.')[0])}.{name.split('.', 1)[1]}": v for name, v in encoder_only(state).items()
    }


def as_simclr_v2(state):
    """Separius/SimCLRv2-Pytorch without selective kernels: net.0 is the stem, net.1 to net.4 the groups of blocks."""
    named = {}
    for name, value in state.items():
        layer, *rest = name.split(".")
        if layer == "fc":
            named[name] = value
        elif layer in ("conv1", "bn1"):
            named[("net.0.0." if layer == "conv1" else "net.0.1.0.") + rest[-1]] = value
        elif rest[1] == "downsample":
            part = "shortcut" if rest[2] == "0" else "bn.0"
            named[f"net.{layer[-1]}.blocks.{rest[0]}.projection.{part}.{rest[3]}"] = value
        else:
            number = 2 * (int(rest[1][-1]) - 1)
            part = f"{number}" if rest[1].startswith("conv") else f"{number + 1}.0"
            named[f"net.{layer[-1]}.blocks.{rest[0]}.net.{part}.{rest[2]}"] = value
    return named


def layouts(state) -> dict[str, object]:
    """What a file holds in each layout."""
    body = encoder_only(state)
    second = {name: torch.zeros_like(tensor) for name, tensor in body.items()}
    no_counters = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    return {
        "torchvision or timm": state,
        "SimCLR v1 converted (tonylins)": {"state_dict": state},
        "converted, without counters": {"state_dict": no_counters},
        "data parallel": {"epoch": 3, "best_acc1": torch.tensor(0.5), "state_dict": prefixed("module.", state)},
        "MoCo v2": {
            "arch": "resnet50",
            "state_dict": {
                **prefixed("module.encoder_q.", {**body, **projector("fc.")}),
                **prefixed("module.encoder_k.", second),
                "module.queue": torch.ones(4),
                "module.queue_ptr": torch.ones(1),
            },
        },
        "MoCo v3": {
            "state_dict": {**prefixed("module.base_encoder.", body), **prefixed("module.momentum_encoder.", second)}
        },
        "solo-learn": {
            "state_dict": {**prefixed("backbone.", body), **prefixed("momentum_backbone.", second), **projector()}
        },
        "older solo-learn": {"state_dict": {**prefixed("encoder.", body), **projector("projection.")}},
        "lightly": {
            "state_dict": {**prefixed("backbone.", as_sequential(state)), **projector("projection_head.layers.")}
        },
        "VISSL": {
            "classy_state_dict": {"base_model": {"model": {"trunk": prefixed("_feature_blocks.", body), "heads": {}}}}
        },
        "DINO": {
            "student": {"x": torch.ones(1)},
            "teacher": {**prefixed("module.backbone.", body), **projector("module.head.mlp.")},
        },
        "SimCLR v2 (Separius)": {"resnet": as_simclr_v2(state), "head": projector()},
        "model": {"model": prefixed("model.", state)},
    }
