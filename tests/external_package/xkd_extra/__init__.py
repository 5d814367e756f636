"""What another package adds to xkd-bench."""
