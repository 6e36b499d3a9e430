"""One project, or the miniatures, checked with several releases of transformers and PEFT, each in its own environment."""
