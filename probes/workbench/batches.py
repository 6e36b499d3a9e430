"""Writing down what is in a batch: its leaves, its rows token by token, and how it differs from a reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import torch

from preflight_ocr.harness.facts import Batch, Delta, Leaf, Row, Unknown
from preflight_ocr.harness.facts.illustrations import TokenText

IGNORED = -100
MOST_SPELLED = 4096  # tokens of a row
LONGEST_TEXT = 60  # characters of a token
MOST_ALIGNED = 12  # rows; more are not held against each other in every way


def describe(batch: Mapping[str, Any], *, rows: Sequence[Mapping[str, Any]], read: RowReader) -> Batch:
    """The facts of one collated batch."""
    ids = batch.get(read.sequence)
    return Batch(
        rows_in=len(rows),
        rows_out=count_rows(batch),
        keys=tuple(batch),
        leaves=tuple(leaf for key, value in batch.items() for leaf in describe_leaves(key, value)),
        rows=read.read(batch, rows)
        if isinstance(ids, torch.Tensor) and ids.dim() == 2
        else _no_rows(read.sequence, ids),
    )


def _no_rows(name: str, ids: object) -> Unknown:
    seen = f"no {name}" if ids is None else f"{name} {describe_kind(ids)}"
    return Unknown(reason=f"the batch has {seen}; rows can be read from a [B, S] tensor only")


def count_rows(batch: Mapping[str, Any]) -> int:
    """The rows of a batch: those of `input_ids`, else of its longest entry."""
    ids = batch.get("input_ids")
    if isinstance(ids, torch.Tensor | list | tuple):
        return len(ids)
    return max((len(v) for v in batch.values() if isinstance(v, torch.Tensor | list | tuple)), default=0)


def walk(argument: str, value: Any, path: str | None = None) -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested value with its path: `images[0][1]`, `extra['a']`."""
    path = argument if path is None else path
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk(argument, item, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        if not value:
            yield path, value
        for index, item in enumerate(value):
            yield from walk(argument, item, f"{path}[{index}]")
    else:
        yield path, value


def describe_leaves(argument: str, value: Any) -> Iterator[Leaf]:
    """One Leaf for each leaf of an argument."""
    for path, item in walk(argument, value):
        if not isinstance(item, torch.Tensor):
            yield Leaf(
                argument=argument,
                path=path,
                kind=describe_kind(item),
                shape=(),
                dtype="",
                device="",
                minimum=None,
                maximum=None,
                mean=None,
            )
            continue
        numbers = item.detach().float() if item.numel() else None
        yield Leaf(
            argument=argument,
            path=path,
            kind="tensor",
            shape=tuple(item.shape),
            dtype=str(item.dtype).removeprefix("torch."),
            device=str(item.device),
            minimum=_finite(numbers.min()) if numbers is not None else None,
            maximum=_finite(numbers.max()) if numbers is not None else None,
            mean=_finite(numbers.mean()) if numbers is not None else None,
        )


def _finite(number: torch.Tensor) -> float | None:
    value = float(number)
    return round(value, 6) if abs(value) != float("inf") and value == value else None


def describe_kind(value: object) -> str:
    """A value in a few words: `float32 tensor [2, 3]`, `list of 2`, `None`."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} tensor {list(value.shape)}"
    if isinstance(value, list | tuple):
        inside = f" of {describe_kind(value[0])}" if value else ""
        return f"{type(value).__name__} of {len(value)}" + (f", each a {describe_kind(value[0])}" if inside else "")
    if value is None or isinstance(value, bool | int | float | str):
        return "None" if value is None else type(value).__name__
    return f"{type(value).__module__}.{type(value).__qualname__}"


def is_same(left: Any, right: Any) -> bool:
    """Whether two batches, or what lies in them, hold the same; tensors of another dtype may."""
    if isinstance(left, torch.Tensor):
        is_alike = isinstance(right, torch.Tensor) and left.shape == right.shape
        return is_alike and bool((left == right).all())
    if isinstance(left, Mapping):
        return (
            isinstance(right, Mapping)
            and left.keys() == right.keys()
            and all(is_same(value, right[name]) for name, value in left.items())
        )
    if isinstance(left, list | tuple):
        return (
            isinstance(right, list | tuple)
            and len(left) == len(right)
            and all(is_same(a, b) for a, b in zip(left, right, strict=True))
        )
    if type(left) is type(right) and getattr(left, "__dict__", None):
        return is_same(vars(left), vars(right))  # somebody's container: it may well compare by identity
    return type(left) is type(right) and bool(left == right)


def compare(
    given: Mapping[str, Any], reference: Mapping[str, Any], *, roles: Mapping[str, str], accepted: Sequence[str]
) -> tuple[Delta, ...]:
    """Where an argument of `given` is not built as in `reference`. Only structure: numbers are other probes' business.

    An argument the reference does not have is `unexpected` only when forward does not name it either.
    """
    deltas = [
        Delta(argument=k, path=k, kind="unexpected", seen=describe_kind(v), expected="no such argument")
        for k, v in given.items()
        if k not in reference and k not in accepted
    ]
    for argument, expected in reference.items():
        if argument not in given:
            deltas.append(
                Delta(argument=argument, path=argument, kind="missing", seen="absent", expected=describe_kind(expected))
            )
        elif given[argument] is None:
            deltas.append(
                Delta(argument=argument, path=argument, kind="none", seen="None", expected=describe_kind(expected))
            )
        elif found := _compare_value(argument, argument, given[argument], expected, roles.get(argument)):
            deltas.append(found)
    return tuple(deltas)


def _compare_value(argument: str, path: str, given: Any, expected: Any, role: str | None) -> Delta | None:
    """The first difference in structure on the way down; containers before ranks before shapes before dtypes."""

    def delta(kind: Any) -> Delta:
        return Delta(
            argument=argument, path=path, kind=kind, seen=describe_kind(given), expected=describe_kind(expected)
        )

    if isinstance(expected, list | tuple):
        if role == "tiling" and isinstance(given, torch.Tensor):
            return None  # a list of pairs and a [B, 2] tensor index alike
        if not isinstance(given, list | tuple):
            return delta("container")
        if len(given) != len(expected):
            return delta("length")
        for index, (mine, theirs) in enumerate(zip(given, expected, strict=True)):
            if found := _compare_value(argument, f"{path}[{index}]", mine, theirs, role):
                return found
        return None
    if not isinstance(expected, torch.Tensor):
        return None if isinstance(given, type(expected)) else delta("container")
    if not isinstance(given, torch.Tensor):
        return _compare_nested_ints(given, expected, delta) if role == "tiling" else delta("container")
    if given.dim() != expected.dim():
        return delta("rank")
    if given.dtype != expected.dtype and not _equivalent(given, expected, role):
        return delta("dtype")
    if given.device != expected.device:
        return delta("device")
    if role == "pixels" and expected.dim() == 2 and given.shape[1] != expected.shape[1]:
        return delta("shape")  # packed patches have one width only
    if role == "tiling":
        return (
            delta("shape")
            if given.shape != expected.shape
            else None
            if torch.equal(given, expected)
            else delta("value")
        )
    return None


def _compare_nested_ints(given: Any, expected: torch.Tensor, delta: Callable[[Any], Delta]) -> Delta | None:
    try:
        as_tensor = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        return delta("container")
    if as_tensor.shape != expected.shape:
        return delta("length" if as_tensor.dim() and len(as_tensor) != len(expected) else "shape")
    return None if torch.equal(as_tensor.long(), expected.long()) else delta("value")


def _equivalent(given: torch.Tensor, expected: torch.Tensor, role: str | None) -> bool:
    """Whether another dtype does the same job: any integer width for ids and labels, any 0/1 for an attention mask."""
    if role in ("pixels", "placement_mask"):
        return False
    return not given.is_floating_point() and not expected.is_floating_point()


class Span(NamedTuple):
    """Where one row of data stands: a whole sequence, or a stretch of one that several rows share. `target` is its text."""

    sequence: int
    start: int
    stop: int
    target: str


class RowReader:
    """Reads rows token by token with the tokenizer's special ids.

    `mask_argument` is the placement mask's name, if any. Any of `end_ids` ends a text; the tokenizer's EOS where none is
    given. With `reads_labels`, a row is the decoder's own sequence, which only the labels hold. `read_prompt` tells the
    prompt as the model's own template writes it, so that its last words are not taken for the beginning of an answer.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        image_token_id: int | None,
        mask_argument: str | None,
        end_ids: Collection[int] = (),
        reads_labels: bool = False,
        read_prompt: Callable[[], str] = str,
    ) -> None:
        self.tokenizer, self.image_token_id, self.mask_argument = tokenizer, image_token_id, mask_argument
        self.end_ids = frozenset(end_ids) or frozenset({tokenizer.eos_token_id})
        self.sequence = "labels" if reads_labels else "input_ids"
        self.read_prompt = read_prompt

    def read(self, batch: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[Row, ...] | Unknown:
        """One Row per span of the sequences; sequences beyond the given rows have no target text."""
        spans = self.find_spans(batch, rows)
        if self.sequence == "input_ids":
            return tuple(self._read_row(batch, span) for span in spans)
        return tuple(self._read_labels(batch, span.sequence, span.target) for span in spans)

    def find_text(self, batch: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[tuple[Span, list[int]]]:
        """Each row's span, and the positions of its text tokens in that sequence: an encoder's prompt stands before them."""
        spans, read = self.find_spans(batch, rows), self.read(batch, rows)
        assert not isinstance(read, Unknown)
        return [
            (span, list_text(span, row.roles[-(span.stop - span.start) :]))
            for span, row in zip(spans, read, strict=True)
        ]

    def find_spans(self, batch: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[Span, ...]:
        """Where the rows stand, in their order: each in a sequence of its own, or several packed into one."""
        sequences, texts = batch[self.sequence], [str(row.get("text", "")) for row in rows]
        if len(sequences) < len(texts) <= MOST_ALIGNED and self.sequence == "input_ids":
            packed = self._find_packed(batch, texts)
            if packed is not None:
                return packed
        targets = self._find_targets(sequences, texts)
        return tuple(
            Span(index, 0, sequences.shape[1], targets[index] if index < len(targets) else "")
            for index in range(len(sequences))
        )

    def _find_packed(self, batch: Mapping[str, Any], texts: Sequence[str]) -> tuple[Span, ...] | None:
        """The spans of rows of which each stands whole in one of fewer sequences; None where one of them does not.

        A row begins behind the end of the one before it, and behind the white space that a template writes there.
        """
        sequences = batch[self.sequence].tolist()
        trained = [_read_trained(batch, index, len(ids)) for index, ids in enumerate(sequences)]
        # Of each sequence: where a target starts and ends, and whose it is.
        taken: list[list[tuple[int, int, int]]] = [[] for _ in sequences]
        for number in sorted(range(len(texts)), key=lambda number: -len(texts[number])):
            at = next(
                (
                    (index, *place)
                    for index, ids in enumerate(sequences)
                    if (place := self._locate(ids, texts[number], trained[index], taken[index])) is not None
                ),
                None,
            )
            if at is None:
                return None
            taken[at[0]].append((at[1], at[2], number))
        spans: dict[int, Span] = {}
        for index, ids in enumerate(sequences):
            begin, targets = 0, sorted(taken[index])
            for turn, (_, after, number) in enumerate(targets):
                last = turn == len(targets) - 1
                stop = len(ids) if last else self._find_behind(ids, after, targets[turn + 1][0])
                spans[number] = Span(index, begin, stop, texts[number])
                begin = stop
        return tuple(spans[number] for number in range(len(texts)))

    def _locate(
        self, ids: list[int], text: str, trained: str, taken: Sequence[tuple[int, int, int]]
    ) -> tuple[int, int] | None:
        """Where a target stands in a sequence of several: its tokens, trained on or ended by a token that ends texts."""
        wanted = self.tokenizer.encode(text, add_special_tokens=False) if text else []
        if not wanted:
            return None

        def is_free(first: int, after: int) -> bool:
            return all(after <= start or first >= stop for start, stop, _ in taken)

        for first in range(len(ids) - len(wanted) + 1):
            after = first + len(wanted)
            if ids[first] != wanted[0] or ids[first:after] != wanted or not is_free(first, after):
                continue
            if trained[first : first + 1] == "1" or (after < len(ids) and ids[after] in self.end_ids):
                return first, after
        # A tokenizer that merged across the boundary: what is trained on in one piece holds the words.
        for match in re.finditer("1+", trained):
            first, after = match.span()
            if is_free(first, after) and text.strip() and text.strip() in self._decode(ids[first:after]):
                return first, after
        return None

    def _find_behind(self, ids: list[int], after: int, most: int) -> int:
        """Where the next row begins, behind this one's target: past its end and the white space there, at `most` at last."""
        end = next((i for i in range(after - 1, most) if ids[i] in self.end_ids), None)
        at = after if end is None else max(after, end + 1)
        while at < most and self._decode([ids[at]]).isspace():
            at += 1
        return at

    def _find_targets(self, sequences: torch.Tensor, texts: Sequence[str]) -> Sequence[str]:
        """The texts in order; where some rows were dropped, those of the rows that are still there, by what is in them."""
        if len(sequences) >= len(texts) or len(texts) > MOST_ALIGNED:
            return texts
        decoded = [self._decode([i for i in ids if i != self.image_token_id]) for ids in sequences.tolist()]

        def count_found(chosen: tuple[int, ...]) -> int:
            pairs = zip(decoded, (texts[at] for at in chosen), strict=True)
            return sum(_measure_found(text.strip(), line) for line, text in pairs)

        # The first of equally good ones: nothing dropped in front.
        return [texts[at] for at in max(combinations(range(len(texts)), len(decoded)), key=count_found)]

    def spell(self, batch: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[TokenText, ...], ...]:
        """Every token's text, aligned with the rows that `read` gives, at most MOST_SPELLED of a row."""
        known: dict[int, str] = {}
        sequence: Any = batch.get(self.sequence)
        if not isinstance(sequence, torch.Tensor) or sequence.dim() != 2:
            return ()
        spelled = []
        for index, start, stop, _ in self.find_spans(batch, rows):
            ids: list[int] = sequence[index, start:stop].tolist()
            labels = ids
            if self.sequence == "labels":
                asked, _, _ = self._read_encoder(batch, index)
                pad = self.tokenizer.pad_token_id
                ids = labels = [*asked, *(pad if i == IGNORED and pad is not None else i for i in ids)]
            elif isinstance(given := batch.get("labels"), torch.Tensor) and given.shape == sequence.shape:
                labels = given[index, start:stop].tolist()
            spelled.append(
                tuple(
                    TokenText(
                        text=self._spell(i, known), label="" if label in (i, IGNORED) else self._spell(label, known)
                    )
                    for i, label in zip(ids[:MOST_SPELLED], labels[:MOST_SPELLED], strict=True)
                )
            )
        return tuple(spelled)

    def _spell(self, number: int, known: dict[int, str]) -> str:
        """One token's text, with the space in front that decoding it alone may drop; its number where it has none."""
        if number not in known:
            raw = str(self.tokenizer.convert_ids_to_tokens(number)) if number >= 0 else f"id {number}"
            # SentencePiece's sign for a space; in a special token's name it is itself.
            is_piece = "\u2581" in raw and number not in self.tokenizer.all_special_ids
            text = raw.replace("\u2581", " ") if is_piece else self._decode([number])
            known[number] = (raw if not text or "\ufffd" in text else text)[:LONGEST_TEXT] or f"id {number}"
        return known[number]

    def _read_labels(self, batch: Mapping[str, Any], index: int, target: str) -> Row:
        """A decoder's row: what is ignored is padding, and so is a run of pads at the end."""
        labels: list[int] = batch["labels"][index].tolist()
        pad = self.tokenizer.pad_token_id
        ids = [pad if label == IGNORED and pad is not None else label for label in labels]
        inside = "".join("0" if label == IGNORED else "1" for label in labels)
        roles, cut = self._tell_roles(ids, inside, target, trained=inside)
        return self._write_labels(batch, index, roles, target=target, cut=cut)

    def _write_labels(self, batch: Mapping[str, Any], index: int, roles: str, *, target: str, cut: bool) -> Row:
        labels: list[int] = batch["labels"][index].tolist()
        inside = "".join("0" if label == IGNORED else "1" for label in labels)
        roles = "".join("." if flag == "0" else role for role, flag in zip(roles, inside, strict=True))
        supervised = [label for label in labels if label != IGNORED]
        asked, read, attended = self._read_encoder(batch, index)
        return Row(
            roles=read + roles,
            trained="0" * len(asked) + inside,
            attended=attended + "1" * len(labels),
            supervised_text=self._decode(supervised),
            target_text=target,
            prompt_text=self._decode([i for i, role in zip(asked, read, strict=True) if role == "p"]),
            truncated=cut,
            marked="",
        )

    def _read_encoder(self, batch: Mapping[str, Any], index: int) -> tuple[list[int], str, str]:
        """The ids of an encoder's prompt, what they are, and whether they are attended to; nothing where there is none."""
        prompt = batch.get("input_ids")
        if not isinstance(prompt, torch.Tensor) or prompt.dim() != 2 or index >= len(prompt):
            return [], "", ""
        ids = prompt[index].tolist()
        attended = _flags(batch.get("attention_mask"), index, default="1" * len(ids))
        roles, _ = self._tell_roles(ids, attended, "")
        # What ends an encoder's prompt, and what stands behind that, is a part of it.
        return ids, roles.replace("e", "p").replace("?", "p"), attended

    def _read_row(self, batch: Mapping[str, Any], span: Span) -> Row:
        ids, attended, trained = self._cut_out(batch, span)
        roles, cut = self._tell_roles(ids, attended, span.target, trained=trained)
        return self._write_row(batch, span, roles, cut=cut)

    def _cut_out(self, batch: Mapping[str, Any], span: Span) -> tuple[list[int], str, str]:
        """The ids of a span, whether each is attended to, and whether it is trained on."""
        index, inside = span.sequence, slice(span.start, span.stop)
        whole: list[int] = batch["input_ids"][index].tolist()
        attended = _read_attended(batch.get("attention_mask"), index, len(whole))
        return whole[inside], attended[inside], _read_trained(batch, index, len(whole))[inside]

    def _write_row(self, batch: Mapping[str, Any], span: Span, roles: str, *, cut: bool) -> Row:
        index, inside = span.sequence, slice(span.start, span.stop)
        ids, attended, trained = self._cut_out(batch, span)
        labels: Any = batch.get("labels")
        marked = _flags(batch.get(self.mask_argument), index, default="")[inside] if self.mask_argument else ""
        trained_ids = labels[index, inside].tolist() if "1" in trained else []
        supervised = [i for i, flag in zip(trained_ids, trained, strict=False) if flag == "1"]
        prompt = [i for i, role in zip(ids, roles, strict=True) if role == "p"]
        return Row(
            roles=roles,
            trained=trained,
            attended=attended,
            marked=marked,
            supervised_text=self._decode([i for i in supervised if i != self.image_token_id]),
            target_text=span.target,
            prompt_text=self._decode(prompt),
            truncated=cut,
        )

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode([i for i in ids if i >= 0], skip_special_tokens=False)) if ids else ""

    def _tell_roles(self, ids: list[int], attended: str, target: str, *, trained: str = "") -> tuple[str, bool]:
        """Padding is told by position (a run of pad ids at either end), never by the id alone: pads occur in text too.

        The target may stand anywhere. The first token behind it that ends a text is its end; what follows that belongs to
        a template.
        """
        t = self.tokenizer
        start, stop = _strip(ids, t.pad_token_id, attended, keep_one=t.eos_token_id == t.pad_token_id)
        roles = ["."] * len(ids)
        for i in range(start, stop):
            roles[i] = "i" if ids[i] == self.image_token_id else "p"
        if start < stop and ids[start] == t.bos_token_id and t.bos_token_id is not None:
            roles[start] = "b"
        text = [i for i in range(start, stop) if roles[i] == "p"]
        end = self._find_end(ids, text)
        first, after, cut = self._find_target([ids[i] for i in text], target, body=end)
        if first < after:
            first = self._widen(ids, text, first, trained)
            end = next((k for k in range(after, len(text)) if ids[text[k]] in self.end_ids), len(text))
            for i in text[first:end]:
                roles[i] = "t"
        if end < len(text) and text[end] > start:
            for i in text[end:]:
                roles[i] = "?"
            roles[text[end]] = "e"
        return "".join(roles), cut

    def _find_end(self, ids: list[int], text: Sequence[int]) -> int:
        """Which of the text tokens ends the row, with nothing but white space behind it; their number where none does."""
        for k in range(len(text) - 1, -1, -1):
            if ids[text[k]] in self.end_ids:
                return k
            if self._decode([ids[text[k]]]).strip():
                break
        return len(text)

    def _widen(self, ids: list[int], text: Sequence[int], first: int, trained: str) -> int:
        """Where the answer starts: with the target, or with what the user writes in front of it, such as a tag.

        That is trained like the target and stands behind a prompt that is not. The prompt's own last words, and whatever
        holds a control token, are no part of an answer.
        """
        before = first
        while before > 0 and trained[text[before - 1] : text[before - 1] + 1] == "1":
            before -= 1
        if before == first or self.sequence == "labels":
            return before
        piece = [ids[i] for i in text[before:first]]
        controls = {*self.tokenizer.all_special_ids, *self.end_ids}
        # One token too early in front and at the end is what labels look like that were shifted.
        is_shifted = len(piece) == 1 and trained[text[-1]] == "0"
        if before == 0 or is_shifted or controls & set(piece):
            return first
        said = self._decode(piece).strip()  # white space alone is in front of many answers, and says nothing
        return first if said and self.read_prompt().strip().endswith(said) else before

    def _find_target(self, ids: list[int], target: str, *, body: int) -> tuple[int, int, bool]:
        """Where the target starts and ends among the text tokens (their number twice, when it is not there), and whether
        it is cut, which shows at the end of the first `body` tokens.

        Tokens are compared with the tokenized target first; where a tokenizer merged across the boundary, the decoded text.
        """
        wanted = self.tokenizer.encode(target, add_special_tokens=False) if target else []
        for first in range(len(ids) - len(wanted), -1, -1) if wanted else ():
            if ids[first : first + len(wanted)] == wanted:
                return first, first + len(wanted), False
        for first in range(body):
            here = ids[first:body]
            if wanted[: len(here)] == here and _is_cut(here, wanted):
                return first, body, True
        words = target.strip()
        whole = self._decode(ids)
        if words and (at := whole.rfind(words)) >= 0:
            decoded = [len(self._decode(ids[:k])) for k in range(len(ids) + 1)]
            first = next(k for k in range(len(ids), -1, -1) if decoded[k] <= at)
            return (
                first,
                next((k for k in range(first + 1, len(ids)) if decoded[k] >= at + len(words)), len(ids)),
                False,
            )
        return len(ids), len(ids), False


def list_text(span: Span, roles: str) -> list[int]:
    """The positions in its sequence of a span's text tokens."""
    return [span.start + i for i, role in enumerate(roles) if role in "pt"]


def _measure_found(text: str, line: str) -> int:
    """How many of the text's first characters stand in the line together: all of them, or as many as were not cut off."""
    return next((n for n in range(len(text), 0, -1) if text[:n] in line), 0)


def _is_cut(here: list[int], wanted: list[int]) -> bool:
    """A prefix of the target counts as a cut target from four tokens on: fewer may well be the prompt's own end."""
    return len(here) < len(wanted) and len(here) >= min(4, len(wanted) - 1)


def _strip(ids: list[int], pad: int | None, attended: str, *, keep_one: bool) -> tuple[int, int]:
    start, stop = 0, len(ids)
    if pad is None:
        inside = [i for i, flag in enumerate(attended) if flag == "1"]
        return (inside[0], inside[-1] + 1) if inside else (0, len(ids))
    while start < stop and ids[start] == pad:
        start += 1
    while stop > start and ids[stop - 1] == pad:
        stop -= 1
    if keep_one and stop < len(ids):
        stop += 1  # where the pad is the EOS, the first of the run ends the target
    return start, stop


def _read_trained(batch: Mapping[str, Any], index: int, length: int) -> str:
    """`1` where the row's label is not -100; nothing trained where the labels have no such row."""
    labels: Any = batch.get("labels")
    if isinstance(labels, torch.Tensor) and labels.dim() == 2 and index < len(labels):
        return "".join("0" if label == IGNORED else "1" for label in labels[index].tolist())
    return "0" * length


def _read_attended(mask: Any, index: int, length: int) -> str:
    """`1` where a token of the row is attended to by any; all of them without a mask.

    A mask [B, heads, S, S], or [B, S, S], says it for each pair of tokens: as booleans, or as what is added to the scores.
    """
    if (
        not isinstance(mask, torch.Tensor)
        or mask.dim() < 3
        or index >= len(mask)
        or mask.shape[-2:] != (length, length)
    ):
        return _flags(mask, index, default="1" * length)
    pairs = mask[index].reshape(-1, length)  # each query of each head
    is_added = pairs.is_floating_point() and not bool((pairs > 0).any())
    seen = (pairs >= 0 if is_added else pairs != 0).any(0)
    return "".join("1" if flag else "0" for flag in seen.tolist())


def _flags(value: Any, index: int, *, default: str) -> str:
    if not isinstance(value, torch.Tensor) or value.dim() < 2 or index >= len(value):
        return default
    return "".join("1" if flag else "0" for flag in value[index].reshape(value.shape[1], -1)[:, 0].tolist())
