"""`preflight init`: the first YAML file of a project, from what is there."""
