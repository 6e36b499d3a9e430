"""Finds what would make fine-tuning an OCR vision-language model fail or learn nothing, before a GPU hour is spent."""

__version__ = "0.2.0"

__all__ = ["__version__"]
