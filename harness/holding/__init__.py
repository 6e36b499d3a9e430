"""The user's own training command, run up to the moment where training would begin. Light until the command is not."""
