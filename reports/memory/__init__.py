"""How a memory prediction is shown."""
