"""What dense methods add to a step on 512 × 512 pixels, with the laptop budget's networks.

python -m xkd_bench.benchmarks.dense_large [--quick] [--device cuda]
"""

from __future__ import annotations

from protocols import load_budget
from xkd_bench.benchmarks import Options, Result
from xkd_bench.benchmarks.dense import Size, study


def run(options: Options) -> Result:
    """Measure."""
    names = load_budget("laptop", "segmentation")
    side = 64 if options.quick else 512
    return study([Size(side, side, 2, names.student, str(names.teacher))], 1 if options.quick else 3, options)


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("dense-large")
