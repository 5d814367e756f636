"""Pure functions of tensors; one file a family."""
