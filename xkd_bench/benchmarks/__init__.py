"""Speed, memory and survival, measured: what `xkd-bench bench` runs."""
