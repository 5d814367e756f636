"""Cityscapes' classes, which other sets of street scenes share."""

from xkd_bench.tasks._planes import IGNORE

_CLASSES = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}

CLASSES = tuple(name for name, _ in _CLASSES.values())
PALETTE = tuple(colour for _, colour in _CLASSES.values())
CLASS_OF = dict.fromkeys((*range(34), 255), IGNORE) | {number: i for i, number in enumerate(_CLASSES)}
"""Class of each `labelIds` number; the licence plate (-1) is 255 in 8 bits, and not scored."""
