"""Names of the teachers and students with what they are, for listings and checks that must not wait for torch."""

DEFAULT_TEACHER = "efficientnet-lite0"

TEACHERS = {
    "efficientnet-lite0": "EfficientNet-Lite0, ImageNet labels' knowledge, weights from the package index",
    "random": "EfficientNet-Lite0, random weights: the control for what pair identity alone gives",
    "simclr": "the student's network, pretrained here with SimCLR on the source side of the pairs (Step 1 of CMCD)",
}

STUDENTS = {
    "conv4-w16": "four convolutions, 16 to 128 channels, 0.1 M parameters; any conv4-wW works",
    "resnet8-w16": "small-image ResNet, 8 layers, 16 to 128 channels, 0.3 M parameters",
    "resnet8-w32": "small-image ResNet, 8 layers, 32 to 256 channels, 1.2 M parameters",
    "resnet14-w32": "small-image ResNet, 14 layers, 32 to 256 channels; any resnetD-wW with D = 6n + 2 works",
    "resnet18": "timm; any network timm knows works by its name",
    "resnet50": "timm; the paper's student",
    "mobilenetv3_small_100": "timm",
    "vit_tiny_patch16_224": "timm",
}
