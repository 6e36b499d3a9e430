"""Whether a tokenizer can write a text: encoded and decoded again, it is the same but for white space."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from preflight_ocr.harness.commands.prepare.asked import PrepareError
from preflight_ocr.harness.commands.prepare.reasons import Rejection
from preflight_ocr.harness.commands.prepare.texts import name_characters
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.foreign.json_text import BrokenJson, read_json

_SHOWN = 30  # characters of a text that is cited


class Tokenizer(Protocol):
    """What is asked of a tokenizer. `unknown` is the id of the unknown token, `special` are those of the special ones."""

    unknown: int | None
    special: frozenset[int]

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...


class Writer:
    """A tokenizer, and what is known so far of single characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._writable: dict[str, bool] = {}

    def require_writable(self, text: str) -> None:
        """Raise Rejection where the text, encoded and decoded again, is another one."""
        ids = self._tokenizer.encode(text)
        special = self._tokenizer.special.intersection(ids) - {self._tokenizer.unknown}
        if special:
            name = self._tokenizer.decode([min(special)])
            said = f"the text holds {name}, a special token of the tokenizer, expected text only"
            raise Rejection("special_token", said)
        written = self._tokenizer.decode(ids)
        if self._tokenizer.unknown not in ids and _join(written) == _join(text):
            return
        if lost := [one for one in dict.fromkeys(text) if not self._can_write(one)]:
            said = f"the tokenizer cannot write {name_characters(lost)} ({''.join(lost)[:_SHOWN]})"
            raise Rejection("unwritable", f"{said}; add them to it, or write the text without them")
        at = next((at for at, (a, b) in enumerate(zip(text, written, strict=False)) if a != b), 0)
        seen = f"comes back from the tokenizer as {written[at : at + _SHOWN]!r}"
        raise Rejection("unwritable", f"the text {seen}, expected {text[at : at + _SHOWN]!r}")

    def _can_write(self, one: str) -> bool:
        if one.isspace():
            return True
        if one not in self._writable:
            ids = self._tokenizer.encode(one)
            self._writable[one] = self._tokenizer.unknown not in ids and one in self._tokenizer.decode(ids)
        return self._writable[one]


def _join(text: str) -> str:
    return "".join(text.split())


def load_writer(directory: Path) -> Writer:
    """The tokenizer of a model's folder; code of its own is not run. Raises PrepareError."""
    path = directory / "tokenizer.json"
    try:
        return Writer(_Fast(path) if is_file(path) else _Slow(directory))
    except (OSError, BrokenJson, ImportError, ValueError, TypeError, KeyError, RuntimeError) as error:
        said = f"{type(error).__name__}: {str(error)[:200]}"
        raise PrepareError(f"--tokenizer {directory}: cannot be loaded ({said}); give a model's folder") from None


class _Fast:
    """tokenizer.json, read without transformers, whose import each process would pay for."""

    def __init__(self, path: Path) -> None:
        import tokenizers

        content = read_json(path)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # noqa: BLE001 - the library raises this very class
            raise ValueError(str(error)) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        name = _find_unknown(content.get("model") or {})
        self.unknown = self._tokenizer.token_to_id(name) if name is not None else None
        added = self._tokenizer.get_added_tokens_decoder()
        self.special = frozenset(number for number, token in added.items() if token.special)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return text


def _find_unknown(model: dict[str, Any]) -> str | None:
    number = model.get("unk_id")
    if isinstance(number, int) and isinstance(model.get("vocab"), list):  # Unigram
        return str(model["vocab"][number][0])
    return model["unk_token"] if isinstance(model.get("unk_token"), str) else None


class _Slow:
    """A tokenizer without that file, as transformers loads it."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(str(directory), local_files_only=True, trust_remote_code=False)
        self.unknown = self._tokenizer.unk_token_id
        self.special = frozenset(self._tokenizer.all_special_ids)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text
