"""How version windows are shown."""
