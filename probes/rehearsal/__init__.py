"""A training step of the whole model at full size, without its weights."""
