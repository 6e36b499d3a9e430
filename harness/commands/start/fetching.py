"""From the hub, everything of a model but its weights: a check reads no more."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.hub import WEIGHTS
from preflight_ocr.harness.config.packages import tell_absent
from preflight_ocr.harness.judging.wording import spell_bytes

__all__ = ["NotFetched", "fetch_without_weights"]


class NotFetched(UserError):
    """Nothing, or not all, could be fetched; the message says why."""


def fetch_without_weights(name: str, *, revision: str | None, cache: Path | None, tell: Callable[[str], None]) -> str:
    """Fetch the files of the hub's model `name` into the cache, without its weights; returns a sentence with their size.

    `tell` is told each file before it is fetched. Raises NotFetched.
    """
    if absent := tell_absent("fetching from the hub", ("huggingface_hub",)):
        raise NotFetched(absent)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise NotFetched("HF_HUB_OFFLINE is set, so nothing was fetched")
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    failures: tuple[type[Exception], ...] = (OSError, HfHubHTTPError, HFValidationError, *_list_transport_errors())
    try:
        tell(f"asking the hub for {name}")
        siblings = hub.HfApi().model_info(name, revision=revision, files_metadata=True).siblings or []
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in siblings}
        chosen = [file for file in sizes if PurePosixPath(file).suffix not in WEIGHTS]
        total = sum(sizes[file] for file in chosen)
        done = 0
        for number, file in enumerate(chosen, 1):
            tell(
                f"fetching {number} of {len(chosen)}: {file}, {spell_bytes(sizes[file])}; {spell_bytes(done)} of "
                f"{spell_bytes(total)} are here"
            )
            hub.hf_hub_download(name, file, revision=revision, cache_dir=cache)
            done += sizes[file]
    except failures as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise NotFetched(f"the hub gave no answer that helps: {said}") from None
    left = [file for file in sizes if file not in chosen]
    weights = spell_bytes(sum(sizes[file] for file in left))
    return (
        f"Fetched {len(chosen)} files of {name}, {spell_bytes(total)}; {len(left)} files of weights, {weights}, stayed"
    )


def _list_transport_errors() -> tuple[type[Exception], ...]:
    """Those of the client that the installed huggingface_hub talks through: of newer ones they are no OSError."""
    import huggingface_hub as hub

    client = sys.modules[type(hub.get_session()).__module__.partition(".")[0]]  # its name changed with the releases
    error = getattr(client, "HTTPError", None)
    return (error,) if isinstance(error, type) and issubclass(error, Exception) else ()
