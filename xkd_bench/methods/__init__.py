"""How a student learns without labels: one file a method, one contract (`base.Method`)."""

from xkd_bench import registry
from xkd_bench.methods.base import Method


def get(name: str) -> type[Method]:
    """The method of this name."""
    method: type[Method] = registry.load("methods", name)
    return method
