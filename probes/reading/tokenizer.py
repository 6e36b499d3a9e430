"""The tokenizer's JSON files: special tokens, length, templates. No tokenizer is built."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from preflight_ocr.harness.facts import ChatTemplate, Token, Tokenizer, Unknown
from preflight_ocr.harness.foreign.files import is_file, is_there
from preflight_ocr.probes.reading.json_files import (
    get_object,
    get_text,
    get_whole,
    is_whole,
    read_bytes,
    read_object,
)

_PARTS_OF_AN_IMAGE = re.compile(r"start|begin|end|newline|row|col|sep|/|vision", re.IGNORECASE)
_IMAGE = re.compile(r"image|img", re.IGNORECASE)
_WALKS_PARTS = re.compile(r"\bfor\s+\w+\s+in\s+[^%}]*\bcontent\b|\bcontent\b['\"\])]*\s*\|\s*selectattr\b")


def look_at_tokenizer(directory: Path) -> Tokenizer | Unknown:
    """What tokenizer_config.json, tokenizer.json and their companions say. Unknown when one of them is broken."""
    files: dict[str, dict[str, Any]] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"):
        values = read_object(directory / name)
        if isinstance(values, Unknown):
            return values
        files[name] = values or {}
    vocabulary = _read_vocabulary(directory)
    if isinstance(vocabulary, Unknown):
        return vocabulary
    settings = files["tokenizer_config.json"]
    if not settings and vocabulary is None and not is_file(directory / "tokenizer.model"):
        return Unknown(reason=f"{directory}: there is neither tokenizer_config.json nor tokenizer.json")
    known = vocabulary or _Vocabulary({}, {}, "")
    added = {**known.added, **_read_added(files)}
    ids = {**known.ids, **added}

    def find(role: str) -> Token | None:
        text = _read_token(settings.get(role)) or _read_token(files["special_tokens_map.json"].get(role))
        return Token(content=text, id=ids.get(text)) if text else None

    templates = _find_templates(directory, settings)
    if isinstance(templates, Unknown):
        return templates
    bos = find("bos_token")
    return Tokenizer(
        declared_class=get_text(settings, "tokenizer_class"),
        length=_measure_length(directory, ids, vocabulary),
        bos=bos,
        eos=find("eos_token"),
        pad=find("pad_token"),
        image=_find_image_token(directory, files, ids, added, whole=vocabulary is not None),
        adds_bos=_adds_bos(settings, bos, known),
        padding_side=get_text(settings, "padding_side"),
        chat_templates=templates,
    )


TokenId = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class _Vocabulary(msgspec.Struct, frozen=True):
    """Text -> id of the ordinary tokens and of the added ones, and the post-processor as JSON."""

    ids: dict[str, int]
    added: dict[str, int]
    post_processor: str


class _AddedToken(msgspec.Struct):
    id: TokenId
    content: str


class _TokenizerJson(msgspec.Struct):
    """Only what is asked for; msgspec steps over the rest (merges) without building it."""

    model: msgspec.Raw = msgspec.Raw(b"null")
    added_tokens: list[_AddedToken] = []
    post_processor: msgspec.Raw = msgspec.Raw(b"null")


class _WordModel(msgspec.Struct):
    vocab: dict[str, TokenId]


class _UnigramModel(msgspec.Struct):
    vocab: list[tuple[str, float]]


def _read_vocabulary(directory: Path) -> _Vocabulary | Unknown | None:
    path = directory / "tokenizer.json"
    if not is_there(path):
        return _read_old_vocabulary(directory / "vocab.json")
    data = read_bytes(path)
    if isinstance(data, Unknown):
        return data
    try:
        data.decode("utf-8")  # the parser does not look into what it steps over
        document = msgspec.json.decode(data, type=_TokenizerJson)
        ids = _read_model(document.model)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        checked = read_object(path)  # says the line, when it is the JSON itself that is broken
        return (
            checked
            if isinstance(checked, Unknown)
            else Unknown(reason=f"{path}: not a tokenizer file: {error}", cause="unreadable file")
        )
    added = {token.content: token.id for token in document.added_tokens}
    return _Vocabulary(ids, added, bytes(document.post_processor).decode())


def _read_model(model: msgspec.Raw) -> dict[str, int]:
    if bytes(model) == b"null":
        return {}
    try:
        return msgspec.json.decode(model, type=_WordModel).vocab
    except msgspec.ValidationError:
        pieces = msgspec.json.decode(model, type=_UnigramModel).vocab
        return {text: index for index, (text, _) in enumerate(pieces)}


def _read_old_vocabulary(path: Path) -> _Vocabulary | Unknown | None:
    values = read_object(path)
    if values is None or isinstance(values, Unknown):
        return values
    return _Vocabulary({key: value for key, value in values.items() if is_whole(value)}, {}, "")


def _read_added(files: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    added = {key: value for key, value in files["added_tokens.json"].items() if is_whole(value)}
    for number, entry in get_object(files["tokenizer_config.json"], "added_tokens_decoder").items():
        text = _read_token(entry)
        if text is not None and str(number).isdecimal() and len(str(number)) < 18:
            added[text] = int(number)
    return added


def _read_token(value: Any) -> str | None:
    """A token is written as its text, or as an object that has the text as `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def _measure_length(directory: Path, ids: Mapping[str, int], vocabulary: _Vocabulary | None) -> int | Unknown:
    if vocabulary is None:
        return Unknown(reason=f"{directory}: the vocabulary stands in no JSON file (no tokenizer.json, no vocab.json)")
    return max(ids.values(), default=-1) + 1


def _adds_bos(settings: dict[str, Any], bos: Token | None, vocabulary: _Vocabulary) -> bool:
    chosen = settings.get("add_bos_token")
    if isinstance(chosen, bool):
        return chosen
    if bos is None or not vocabulary.post_processor:
        return False
    quoted = msgspec.json.encode(bos.content).decode()
    return quoted in vocabulary.post_processor or _escape(bos.content) in vocabulary.post_processor


def _escape(text: str) -> str:
    return '"' + text.encode("ascii", "backslashreplace").decode() + '"'


def _find_image_token(
    directory: Path,
    files: Mapping[str, dict[str, Any]],
    ids: Mapping[str, int],
    added: Mapping[str, int],
    *,
    whole: bool,
) -> Token | None:
    """The placeholder for image features: as the processor's files name it, as config.json numbers it, or by its look.

    By its look only when exactly one added token can be meant. The id is None where the text is no single token.
    """
    settings = files["tokenizer_config.json"]
    named = [_read_token(settings.get("image_token"))]
    named.append(_read_token(get_object(settings, "extra_special_tokens").get("image_token")))
    for name in ("processor_config.json", "preprocessor_config.json"):
        values = read_object(directory / name)
        if isinstance(values, dict):
            named.insert(0, _read_token(values.get("image_token")))
    texts = [text for text in named if text]
    if texts:
        told = texts[0] in ids or whole  # without the vocabulary, an id not found says nothing
        return Token(content=texts[0], id=ids.get(texts[0])) if told else None
    for key in ("image_token_id", "image_token_index"):
        number = get_whole(files["config.json"], key)
        if number is not None:
            content = next((text for text, index in ids.items() if index == number), "")
            return Token(content=content, id=number)
    looks = [text for text in added if _IMAGE.search(text) and not _PARTS_OF_AN_IMAGE.search(text)]
    return Token(content=looks[0], id=added[looks[0]]) if len(looks) == 1 else None


def _find_templates(directory: Path, settings: dict[str, Any]) -> tuple[ChatTemplate, ...] | Unknown:
    """The chat templates, in the order in which the files are usually met; Unknown where one cannot be read."""
    found: list[tuple[str, str]] = []
    template = settings.get("chat_template")
    if isinstance(template, str):
        found.append(("tokenizer_config.json", template))
    elif isinstance(template, list):
        named = [t for t in template if isinstance(t, dict)]
        found += [(f"tokenizer_config.json:{get_text(t, 'name') or '?'}", get_text(t, "template") or "") for t in named]
    for name, read in (("chat_template.json", _read_template_json), ("chat_template.jinja", _read_template_text)):
        text = read(directory / name) if is_there(directory / name) else None
        if isinstance(text, Unknown):
            return text
        if text is not None:
            found.append((name, text))
    values = read_object(directory / "processor_config.json")
    if isinstance(values, dict) and isinstance(values.get("chat_template"), str):
        found.append(("processor_config.json", values["chat_template"]))
    return tuple(_describe_template(place, text) for place, text in found)


def _read_template_json(path: Path) -> str | Unknown:
    """The template inside chat_template.json; "" where that file holds something else."""
    values = read_object(path)
    return values if isinstance(values, Unknown) else get_text(values or {}, "chat_template") or ""


def _read_template_text(path: Path) -> str | Unknown:
    data = read_bytes(path)
    if isinstance(data, Unknown):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        said = f"{path}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8"
        return Unknown(reason=said, cause="unreadable file")


def _describe_template(place: str, text: str) -> ChatTemplate:
    digest = hashlib.sha256(text.strip().encode("utf-8", errors="replace")).hexdigest()
    return ChatTemplate(place=place, sha256=digest, walks_parts=_WALKS_PARTS.search(text) is not None)
