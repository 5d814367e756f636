"""Backbones and teachers. torchvision is made importable here, before anything else imports it."""

from xkd_bench.models import _torchvision as _torchvision
