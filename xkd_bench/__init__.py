"""xkd-bench: a theory-and-benchmark evaluation suite for cross-modality knowledge distillation."""

__version__ = "0.1.0"
