"""How a traced failure is shown."""
