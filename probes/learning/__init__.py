"""What the adapter, a training step and a saved adapter do."""
