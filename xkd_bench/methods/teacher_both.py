"""LIX-style's RGB-X teacher itself, with both modalities and with either alone: a reference of dense tables."""

from typing import ClassVar

from xkd_bench.methods.base import Options
from xkd_bench.methods.teacher import TeacherItself
from xkd_bench.models.duplex import Fusion


class FusedTeacherOptions(Options):
    """fusion: of the two encoders (`models.duplex`), as of method lix."""

    fusion: Fusion = "intermediate"


class FusedTeacherItself(TeacherItself):
    """No student: the network that teaches lix, from all labels of train on pairs of images.

    With one modality the other is a black image. It was never trained so: that row says how much it leans on the one
    that is missing, and is no network for that case.
    """

    teacher_inputs = "both"
    inputs = ("both", "source", "target")
    provenance = "[RECON med] the teacher of both modalities; alone, the other is black"
    options_type: ClassVar[type[Options]] = FusedTeacherOptions


METHOD = FusedTeacherItself
