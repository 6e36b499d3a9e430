"""A page image small enough to lie in an HTML page."""

from __future__ import annotations

import base64
from io import BytesIO

from preflight_ocr.harness.training.images import ImageError, open_image

_SIDE = 900  # pixels of a shown picture's longer side
_QUALITY = 80


def embed(path: str) -> str | None:
    """The picture as a data URI, its longer side at most 900 pixels; None where it is gone by now or cannot be opened."""
    try:
        picture = open_image(path)
    except ImageError:
        return None
    picture.thumbnail((_SIDE, _SIDE))
    buffer = BytesIO()
    picture.save(buffer, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
