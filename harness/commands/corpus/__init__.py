"""Plants every known fault in every miniature that can have it, and looks whether each is found."""
