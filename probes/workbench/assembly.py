"""Putting the parts under test together inside a child process: model, processor, collators, rows.

Everything here runs foreign code. Each part is made on first use and raises what its maker raises; the probes decide what
to write down.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.families import Family, find_family
from preflight_ocr.harness.families.anatomy import Anatomy, read_anatomy, unwrap
from preflight_ocr.harness.families.positions import find_positions
from preflight_ocr.harness.families.processed import IMAGE_TOKEN_KEYS
from preflight_ocr.harness.foreign.pictures import BROKEN_PICTURE
from preflight_ocr.harness.foreign.rows import (
    find_pages,
    find_prompt,
    find_target,
    is_ours,
    list_pages,
    place_pages,
    put_at,
)
from preflight_ocr.harness.foreign.tables import Table, find_table, iterate_rows, needs_pyarrow
from preflight_ocr.harness.holding.held import Held
from preflight_ocr.harness.training.data import encode_page, open_pages
from preflight_ocr.harness.training.images import open_image
from preflight_ocr.harness.training.model import find_directory, find_image_dtype, load_processor
from preflight_ocr.harness.training.subject import load_part
from preflight_ocr.probes.workbench.batches import RowReader
from preflight_ocr.probes.workbench.chance import Chance, note_unseeded
from preflight_ocr.probes.workbench.model import Built, read_config_json
from preflight_ocr.probes.workbench.order import arrange
from preflight_ocr.probes.workbench.rescue import load
from preflight_ocr.probes.workbench.tracing import attempt

if TYPE_CHECKING:
    from PIL.Image import Image

    from preflight_ocr.harness.training.collate import Collator

Row = Mapping[str, Any]
Collate = Callable[[Sequence[Row]], Mapping[str, Any]]
SAMPLED_ROWS = 3
LONG = 1024  # tokens; rows that are padded to more are made shorter, where a question is not about their length
FIRST_WORDS = 160  # characters
SMALL = 480  # pixels: no model of today cuts such a page into tiles
MOST_HELD = 256  # rows that hold their pictures
NAMED_ANEW = "preflight_form"  # a row's own names are others; ours stand beside them, for our own collator
UNDECLARED = "no family declares this model, so there is no reference batch"
CARRIERS = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Assembly:
    """The user's parts where the YAML names them, ours elsewhere.

    `collate` is the collator in use, `reference` is always ours, None for a model that no family declares. This one is
    made from a YAML file; `probes/workbench/held.py` makes one from the parts of a command that was held, and
    `probes/workbench/brought.py` looks for what a trainer of the user's brings in their place, which `brings` names.
    """

    no_reference = UNDECLARED
    no_trainer = "no subject.trainer: our own Trainer is Hugging Face's, unchanged"
    no_pickling = ""  # why nobody would ever pickle the collator
    brings: tuple[str, ...] = ()  # "collator" and "rows", where the user's trainer comes with its own
    brought_by: Held | None = None  # that trainer, as it was built
    unbuilt: str = ""  # what building it raised
    _folder: Path | None = None  # of the child; parts that were held have none
    _collate: Collate | None = None
    _rows: Any = None
    _collator_name: str | None = None

    def __init__(self, config_path: str | Path, *, trust: bool, folder: Path) -> None:
        torch.set_num_threads(1)
        keep_modules_in(folder / "modules")
        note_unseeded()
        self._folder = folder
        self.ids_below: int | None = None  # set where ids without an embedding would stop everything else
        self.config: Config = load_config(Path(config_path), trust=trust)

    @property
    def has_own_trainer(self) -> bool:
        """Whether a trainer of the user's switches gradient checkpointing on, as Trainer does, and not we."""
        return self.config.subject.trainer is not None

    @property
    def collator_name(self) -> str | None:
        """Which part of the user's collates, as the YAML names it; None where ours does."""
        return self._collator_name or self.config.subject.collator

    def take(self, held: Held, *, collate: Collate | None, rows: Any, name: str) -> None:
        """Use what the user's trainer, which is `name` in the YAML, comes with; None for what it takes as handed over."""
        for made in ("collate", "reference", "sample", "rows"):
            vars(self).pop(made, None)
        self.brought_by, self._collate, self._rows = held, collate, rows
        self._collator_name = None if collate is None else name
        self.brings = (*(["collator"] if collate is not None else []), *(["rows"] if rows is not None else []))

    @cached_property
    def chance(self) -> Chance:
        """What holds random numbers still while the collator is asked."""
        return Chance()

    @cached_property
    def built(self) -> Built:
        """The model as loaded, by the user's loader or ours; where that failed, as it could be loaded at all."""
        return self._loaded[0]

    @property
    def loading(self) -> Raised | None:
        """What loading as configured raised, although the model could then be loaded in another way."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[Built, Raised | None]:
        return load(self.config, self.directory)

    @property
    def model(self) -> Any:
        """What the loader returned: maybe a wrapper."""
        return self.built.model

    @cached_property
    def bare(self) -> Any:
        """The Hugging Face model, without a wrapper of the user's."""
        return unwrap(self.model)[0]

    def adapt(self) -> Any:
        """The model with its adapter, by the user's step or ours. Raises what that raises."""
        from preflight_ocr.harness.training.adapter import attach

        return attach(self.model, self.config)

    def list_carriers(self) -> tuple[str, ...]:
        """The names of the bare model's modules that can carry an adapter. Ask before `adapt`."""
        return tuple(name for name, module in self.bare.named_modules() if isinstance(module, CARRIERS))

    def open_page(self, row: Row) -> Image:
        """The picture of a row, upright and in RGB. Raises ImageError or KeyError where there is none."""
        page = row["image_path"]
        return open_image(Path(page if isinstance(page, str) else page[0]))

    def name_page(self, row: Row) -> str:
        """What to call the picture of a row."""
        return ", ".join(list_pages({"image_path": row.get("image_path")}))

    def change_page(self, row: Row, path: Path, apply: Callable[[Image], Image]) -> dict[str, Any]:
        """The row with another picture, which is written to `path` where rows name files."""
        apply(self.open_page(row)).save(path)
        return {**row, "image_path": str(path)}

    def shorten_rows(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """The rows with the first words of their texts; for a model that had to be cut, small copies of their pages as well.
        A row with several pages keeps them.

        What is asked of such rows is no matter of their length, and each answer takes a call of the model.
        """
        shorter = shorten_alike(rows, FIRST_WORDS)
        if not self.built.cut:
            return shorter
        found: list[Row] = []
        for row in shorter:
            place = Path(tempfile.mkdtemp(prefix="small-page-")) / "page.png"
            is_one = isinstance(row.get("image_path"), str)
            changed = attempt(partial(self.change_page, row, place, _make_small)) if is_one else row
            found.append(row if isinstance(changed, Raised) else changed)
        return tuple(found)

    def lose_page(self, row: Row) -> dict[str, Any] | None:
        """The row with the name of a file that is not there; None where it holds its picture itself, or several."""
        page = row["image_path"]
        return {**row, "image_path": str(Path(page).with_name("no such page.png"))} if isinstance(page, str) else None

    def list_texts(self, most: int) -> list[str]:
        """What the first rows ask to be learnt, as far as that can be told."""
        return [str(row.get("text", "")) for row in self.rows[:most]]

    @property
    def mixes_rows(self) -> bool:
        """Whether a batch of the run can have rows of several kinds."""
        return True

    def find_bare_row(self) -> dict[str, Any] | None:
        """A row without a picture, where the data has one."""
        return next((dict(row) for row in self.rows if not row.get("image_path")), None)

    @cached_property
    def anatomy(self) -> Anatomy:
        """Where the parts of the bare model are."""
        return read_anatomy(self.bare)

    @cached_property
    def forward_names(self) -> tuple[str, ...]:
        """The named parameters of the bare model's forward."""
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        found = inspect.signature(type(self.bare).forward).parameters.values()
        return tuple(p.name for p in found if p.kind not in kinds and p.name != "self")

    @cached_property
    def directory(self) -> Path:
        """The model directory on disk. Raises LoadError where only a hub id is known and it cannot be reached."""
        return find_directory(self.config)

    @cached_property
    def family(self) -> Family | None:
        """The declared family, recognised by what forward takes."""
        return find_family(frozenset(self.forward_names), read_config_json(self.directory))

    @cached_property
    def processor(self) -> Any:
        """What AutoProcessor gives, or the tokenizer where it gives nothing."""
        return self.open_processor()

    def open_processor(self) -> Any:
        """The processor that the model's files describe."""
        if isinstance(loaded := attempt(lambda: load_processor(self.config)), Raised):
            _ = self.built  # a tokenizer may need the model's configuration, and with it what the rescue stands in for
            return load_processor(self.config).processor
        return loaded.processor

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, by itself or inside the processor."""
        return getattr(self.processor, "tokenizer", self.processor)

    @cached_property
    def image_token_id(self) -> int | None:
        """The placeholder's id: our collator's, else as the configuration numbers it. None where pictures need none."""
        ours = attempt(lambda: self.reference)
        if ours is not None and not isinstance(ours, Raised):
            return ours.image_token_id
        content = read_config_json(self.directory)
        return next((content[key] for key in IMAGE_TOKEN_KEYS if isinstance(content.get(key), int)), None)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """The ids that end a text: the tokenizer's EOS and whatever generation stops at.

        The file is asked as well: a model that was built from its configuration has not read it.
        """
        settings = getattr(self.bare, "generation_config", None)
        path = self.directory / "generation_config.json"
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        stops: list[Any] = []
        for named in (getattr(settings, "eos_token_id", None), content.get("eos_token_id")):
            stops += named if isinstance(named, list | tuple) else [named]
        return frozenset(i for i in (self.tokenizer.eos_token_id, *stops) if isinstance(i, int))

    @cached_property
    def is_encoder_decoder(self) -> bool:
        """Whether the target is a sequence of its own, and not the end of input_ids."""
        return bool(getattr(getattr(self.bare, "config", None), "is_encoder_decoder", False))

    @cached_property
    def reader(self) -> RowReader:
        """Reads this model's batches token by token."""
        return RowReader(
            self.tokenizer,
            image_token_id=self.image_token_id,
            mask_argument=self.family.argument("placement_mask") if self.family else None,
            end_ids=self.end_ids,
            reads_labels=self.is_encoder_decoder,
            read_prompt=self._read_own_prompt,
        )

    def _read_own_prompt(self) -> str:
        """The first row's prompt as our own collator writes it; "" where that cannot be had."""

        def decode() -> str:
            ids = self.reference.prompts([self.sample[0]])["input_ids"][0].tolist() if self.reference else []
            return str(
                self.tokenizer.decode([i for i in ids if i not in (self.image_token_id, self.tokenizer.pad_token_id)])
            )

        read = attempt(decode)
        return "" if isinstance(read, Raised) else read

    @cached_property
    def image_dtype(self) -> torch.dtype:
        """The dtype of the vision weights."""
        return find_image_dtype(self.bare)

    @cached_property
    def reference(self) -> Collator | None:
        """Our own collator: a batch that the family's declaration says the model accepts.

        A max_seq_length that leaves no room behind the image is a fault to be found, so it does not bind the yardstick.
        """
        ours, limit = self._build_ours(self._read_sizes()), self.config.data.max_seq_length
        if ours is not None and limit is not None and any(ours.smallest_length(row) > limit for row in self.sample):
            ours.max_length = None
        return ours

    @cached_property
    def collate(self) -> Collate:
        """The collator in use. Raises LookupError where there is neither a user's nor a declared family."""
        if self._collate is not None:
            return self._collate
        make = load_part(self.config, "collator")
        if make is not None:
            made: Collate = make(self.config, self.processor, self.model)
            return made
        ours = self._build_ours()
        if ours is None:
            raise LookupError("no family declares this model; name your collator under subject.collator in the YAML")
        return ours

    def _read_sizes(self) -> Mapping[str, Any]:
        """What the user's batch shows of sizes that the YAML leaves open: another choice than our default is no fault."""
        read = self.family.read_sizes if self.family else None
        if read is None or not self.collator_name:
            return {}
        batch = attempt(lambda: self.seeded(self.collate, self.sample))
        sizes = {} if isinstance(batch, Raised) else read(batch)
        said = self.config.data.preprocessing
        return {key: size for key, size in sizes.items() if getattr(said, key) is None}

    def _build_ours(self, sizes: Mapping[str, Any] = MappingProxyType({})) -> Collator | None:
        if self.family is None:
            return None
        from preflight_ocr.harness.training.collate import build_collator

        # A processor of its own: the user's factory may change the one it is given.
        loaded = load_processor(self.config)
        config = msgspec.structs.replace(
            self.config,
            data=msgspec.structs.replace(
                self.config.data, preprocessing=msgspec.structs.replace(self.config.data.preprocessing, **sizes)
            ),
        )
        return build_collator(
            config,
            family=self.family,
            tokenizer=loaded.tokenizer,
            processor=loaded.processor,
            image_dtype=self.image_dtype,
            directory=self.directory,
            positions=find_positions(self.bare),
            kept_in=None if self._folder is None else self._folder / "pixels",
        )

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """Every training row of files, the first MOST_HELD of those that hold pictures or that the user's code yields."""
        pages = (self._folder or Path(tempfile.gettempdir())) / "pages"
        make, rows = load_part(self.config, "dataset"), self._rows
        if rows is None and make is None:
            return read_rows(self.config.data.train_path, pages)
        if rows is None and make is not None:
            made = make(self.config)
            rows = made[0] if isinstance(made, tuple) and len(made) == 2 else made
        table = Table(form="JSON", files=(), folder=Path())
        return tuple(name_anew(rows[index], table, pages) for index in range(min(len(rows), MOST_HELD)))

    @cached_property
    def sample(self) -> tuple[dict[str, Any], ...]:
        """A few telling rows: the most elongated page, the largest page, the longest text; all of them readable.

        No more than a batch of the run has, where the user's collator takes just so many and no more; in the order in which
        it leaves them.
        """
        chosen = choose_sample(self.rows)
        if not self.collator_name:
            return chosen
        fitting = self._leave_out(chosen)
        return arrange(self, fitting, [(str(row.get("text", "")),) for row in fitting])

    def _leave_out(self, chosen: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """As many of the rows as the user's collator takes."""
        size = self.config.training.per_device_train_batch_size
        if size >= len(chosen):
            return chosen
        batches = [chosen[first : first + size] for first in range(0, len(chosen), size)]
        ended = [attempt(lambda rows=rows: self.seeded(self.collate, rows)) for rows in (chosen, *batches)]  # type: ignore[misc]
        is_for_fewer = isinstance(ended[0], Raised) and not any(isinstance(one, Raised) for one in ended[1:])
        return chosen[:size] if is_for_fewer else chosen

    def seeded(self, collate: Collate, rows: Sequence[Row]) -> Mapping[str, Any]:
        """Collate with random numbers held still, so that two batches differ only where their rows do."""
        is_own = self._rows is not None or self.config.subject.collator is not None
        takes_ours = not is_own or collate is vars(self).get("reference")
        batch = self.chance.hold(
            lambda: take_apart(collate([dict(row) if takes_ours else restore_form(row) for row in rows])),
            is_ours=not self.collator_name or collate is vars(self).get("reference"),
        )
        return batch if self.ids_below is None else limit_ids(batch, self.ids_below)


def take_apart(batch: Any) -> Mapping[str, Any]:
    """A batch by names. A pair (inputs, labels) is unpacked as the trainer of whoever writes such a collator does.

    Raises TypeError for anything else without names: what a trainer makes of it cannot be told.
    """
    if isinstance(batch, Mapping):
        return batch
    is_pair = isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Mapping)
    if is_pair and isinstance(batch[1], torch.Tensor) and "labels" not in batch[0]:
        return {**batch[0], "labels": batch[1]}
    if hasattr(batch, "items"):
        return dict(batch.items())
    raise TypeError(f"the batch is a {type(batch).__name__} without names of arguments; expected a dict of tensors")


def limit_ids(batch: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The batch with every id and label at or above `rows` replaced by the last one that has an embedding."""
    named = ("input_ids", "labels")
    return {k: v.clamp(max=rows - 1) if k in named and isinstance(v, torch.Tensor) else v for k, v in batch.items()}


def keep_modules_in(directory: Path) -> None:
    """Let transformers copy remote code into a directory of this process's own.

    The copies in the user's cache are shared: two children that start together would read each other's half-written files.
    The directory comes first on the path: where the process that started us has loaded remote code itself, its cache is
    there already, and the package of the copies would be found in it. Where that package is imported already, the import
    system asks it alone where its parts lie.
    """
    from transformers import dynamic_module_utils

    dynamic_module_utils.HF_MODULES_CACHE = str(directory)
    sys.path.insert(0, str(directory))
    package = sys.modules.get(dynamic_module_utils.TRANSFORMERS_DYNAMIC_MODULE_NAME)
    if package is not None:
        package.__path__ = [str(directory / package.__name__), *package.__path__]


def read_rows(directory: Path | None, pages: Path | None = None) -> tuple[dict[str, Any], ...]:
    """The training rows at a path with our names beside their own; pictures inside them are written below `pages`.

    Of rows that hold their pictures the first MOST_HELD. Raises OSError or ValueError as reading does.
    """
    if directory is None:
        raise FileNotFoundError("data.train_path is not set, so there is no row to look at")
    table = find_table(directory)
    most = MOST_HELD if needs_pyarrow(table) else None
    # What is no object is a finding of those who read the rows.
    rows = (row for row in itertools.islice(iterate_rows(table), most) if isinstance(row, dict))
    return tuple(name_anew(row, table, pages) for row in rows)


def name_anew(row: Any, table: Table, pages: Path | None) -> dict[str, Any]:
    """A row with whole paths; one of another form gets the names of ours beside its own."""
    placed = place_pages(row, table.folder)
    found, text = find_pages(placed), find_target(row)
    if is_ours(row, found) or not found:
        return placed
    text = text or ""  # a collator of the user's own may know what is to be learned all the same
    names = [page.value if isinstance(page.value, str) else _write_page(page.value, pages) for page in found]
    image = names[0] if len(names) == 1 else names
    kept = {"row": placed, "is_image_folder": table.is_image_folder, "image": image, "text": text}
    asked = {} if (prompt := find_prompt(row)) is None else {"prompt": prompt}
    return {**placed, NAMED_ANEW: kept, "image_path": image, "text": text, **asked}


def _write_page(value: Any, pages: Path | None) -> str:
    """The path of a picture's bytes, written once."""
    content = value if isinstance(value, bytes) else encode_page(value)
    if pages is None:
        raise ValueError("the rows hold their pictures, and there is no folder to write them to")
    path = pages / f"{hashlib.sha256(content).hexdigest()[:24]}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(path)


def read_text(row: Any) -> str:
    """The text of a row of our form; "" for others: those of a command need not even name their columns."""
    text = row.get("text") if isinstance(row, Mapping) else None
    return text if isinstance(text, str) else ""


def shorten(row: Row, most: int) -> Row:
    """The row with the first `most` characters of its text."""
    text = read_text(row)
    return {**row, "text": text[:most].rstrip() or text[:most]} if len(text) > most else row


def _make_small(page: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.contain(page, (SMALL, SMALL)) if max(page.size) > SMALL else page


def shorten_alike(rows: Sequence[Row], most: int) -> tuple[Row, ...]:
    """The rows with the longest text cut to `most` characters and the others by the same factor: who is padded, stays so."""
    longest = max((len(read_text(row)) for row in rows), default=0)
    if longest <= most:
        return tuple(rows)
    return tuple(shorten(row, max(1, len(read_text(row)) * most // longest)) for row in rows)


def is_long(batch: Mapping[str, Any]) -> bool:
    """Whether rows are as long as a page full of text: attention costs the square of it."""
    ids = batch.get("input_ids")
    return isinstance(ids, torch.Tensor) and ids.dim() == 2 and ids.shape[1] > LONG


def restore_form(row: Row) -> dict[str, Any]:
    """The row as its author writes it, with the page and the text that stand under our names now."""
    if NAMED_ANEW not in row:
        return dict(row)
    kept = row[NAMED_ANEW]
    own: Any = kept["row"]
    if row["image_path"] != kept["image"]:
        spot = find_pages(own)[0]
        own = put_at(own, spot.path, _read_page(row["image_path"], like=spot.value))
    if row["text"] != kept["text"]:
        own = _replace_text(own, kept["text"], row["text"])
    return open_pages(own, is_image_folder=kept["is_image_folder"])


def _read_page(path: str, *, like: Any) -> Any:
    """The picture in the form of the one it takes the place of: a path, bytes, or opened."""
    if isinstance(like, str):
        return path
    return {"bytes": Path(path).read_bytes(), "path": None} if isinstance(like, bytes) else open_image(Path(path))


def _replace_text(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _replace_text(one, old, new) for name, one in value.items()}
    if isinstance(value, list):
        return [_replace_text(one, old, new) for one in value]
    return new if value == old else value


def choose_sample(rows: Sequence[dict[str, Any]], *, looked_at: int = 200) -> tuple[dict[str, Any], ...]:
    """At most SAMPLED_ROWS rows with an image, in file order. Raises ValueError where none can be opened."""
    from PIL import Image

    sized = []
    single = [index for index, row in enumerate(rows) if isinstance(row.get("image_path"), str)]
    several = [index for index, row in enumerate(rows) if isinstance(row.get("image_path"), list)]
    for index in (single or several)[:looked_at]:
        row = rows[index]
        try:
            page = row["image_path"] if single else row["image_path"][0]
            with Image.open(page) as image:
                if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                    continue
                image.load()
                sized.append((index, image.width, image.height, len(str(row.get("text", "")))))
        except (*BROKEN_PICTURE, Image.DecompressionBombError):
            continue  # the dataset probe reports each of them with its row
    if not sized:
        raise ValueError("no row has an image that can be opened")
    wishes = (
        max(sized, key=lambda s: max(s[1] / s[2], s[2] / s[1])),
        max(sized, key=lambda s: s[1] * s[2]),
        max(sized, key=lambda s: s[3]),
        *sized,
    )
    chosen = sorted(dict.fromkeys(w[0] for w in wishes))
    first = list(dict.fromkeys(w[0] for w in wishes))[:SAMPLED_ROWS]
    return tuple(rows[i] for i in chosen if i in first)
