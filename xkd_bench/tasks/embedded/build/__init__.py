"""Builds the embedded data; see `__main__.py`."""
