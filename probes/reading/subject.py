"""The source of the user's own parts, by syntax tree: what they take from libraries that is not there any more."""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from preflight_ocr.harness.facts import ApiUse, Site, Subject, Unknown
from preflight_ocr.harness.home import find_installed_places
from preflight_ocr.probes.reading.exports import Exports
from preflight_ocr.probes.reading.source import (
    Source,
    dotted_name,
    find_given_keywords,
    find_method,
    find_own_names,
    find_spelt_dicts,
    get_text_argument,
    iterate_statements,
    read_source,
)
from preflight_ocr.probes.reading.statements import find_entries

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config

PARTS = ("model", "collator", "peft", "trainer", "dataset")

REPLACEMENTS: Mapping[str, str] = {
    "optimizer": "optim",
    "AutoModelForVision2Seq": "AutoModelForImageTextToText",
    "AutoModelWithLMHead": "AutoModelForCausalLM",
    "HybridCache": "StaticCache, or DynamicCache(config=model.config)",
    "SlidingWindowCache": "StaticCache",
    "LlamaFlashAttention2": "LlamaAttention with attn_implementation='flash_attention_2'",
    "is_torch_fx_available": "nothing: torch.fx is always there",
    "AdamW": "torch.optim.AdamW",
    "evaluation_strategy": "eval_strategy",
    "tokenizer": "processing_class",
    "logging_dir": "the environment variable TENSORBOARD_LOGGING_DIR",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "warmup_ratio": "warmup_steps with a fraction below 1",
    "group_by_length": "train_sampling_strategy='group_by_length'",
    "overwrite_output_dir": "nothing: remove the folder yourself",
    "save_safetensors": "nothing: safetensors is the only format",
    "batch_encode_plus": "tokenizer(texts, ...)",
    "encode_plus": "tokenizer(text, ...)",
    "prepare_seq2seq_batch": "tokenizer(texts, text_target=targets, ...)",
    "as_target_tokenizer": "tokenizer(text_target=...)",
    "get_max_length": "get_max_cache_shape()",
    "get_usable_length": "get_seq_length()",
    "seen_tokens": "get_seq_length()",
    "from_legacy_cache": "DynamicCache(...)",
    "to_legacy_cache": "the cache object itself",
}
"""Only texts: whether a name is absent is always decided from the installed source."""

# Methods called on objects whose class the source does not tell; the class that had them, to ask the installed release.
_OWNERS: Mapping[str, tuple[str, str]] = {
    "batch_encode_plus": ("transformers", "PreTrainedTokenizerBase"),
    "encode_plus": ("transformers", "PreTrainedTokenizerBase"),
    "prepare_seq2seq_batch": ("transformers", "PreTrainedTokenizerBase"),
    "as_target_tokenizer": ("transformers", "PreTrainedTokenizerBase"),
    "get_max_length": ("transformers", "DynamicCache"),
    "get_usable_length": ("transformers", "DynamicCache"),
    "seen_tokens": ("transformers", "DynamicCache"),
    "to_legacy_cache": ("transformers", "DynamicCache"),
}
_CHECKED_PACKAGES = ("transformers", "peft", "accelerate")
_LEGACY = re.compile(
    r"(cp|windows-?|ibm)\d+|latin-?\d|iso-?8859.*|koi8.*|mbcs|ansi|oem|(us-)?ascii|charmap|mac.*", re.I
)
_BROAD = ("Exception", "BaseException")
_MOST_FILES = 200


def look_at_subject(config: Config, exports: Exports) -> Subject | Unknown:
    """Every file the user's parts are made of. Unknown, with the line, when a part cannot be found or parsed."""
    parts = find_parts(config)
    sources: dict[Path, Source] = {}
    collating: set[Path] = set()
    training: set[Path] = set()
    for part, target in parts.items():
        found = read_part(config, target)
        if isinstance(found, Unknown):
            return Unknown(reason=f"subject.{part}: {found.reason}")
        sources |= {source.path: source for source in found}
        if part == "collator":
            collating |= {source.path for source in found}
        if part == "trainer":
            training |= {source.path for source in found}
    root = config.subject.path
    finder = Exports(search_path=[str(root), *sys.path], asks_finders=True)
    own = find_own_names(sources.values())
    # A training program from a package generates with settings that it makes itself, where nobody reads them.
    written = [source for source in sources.values() if not str(source.path).startswith(find_installed_places())]
    return Subject(
        parts=parts,
        auto_classes=_sort(use for source in sources.values() for use in _find_auto_classes(source)),
        absent_names=_sort(
            use
            for source in sources.values()
            for use in _find_absent_names(source, exports, own, lambda name: finder.is_found_below(name, root))
        ),
        image_calls_on_processor=tuple(site for source in sources.values() for site in _find_image_calls(source)),
        files_without_utf8=tuple(site for source in sources.values() for site in _find_text_files(source)),
        swallowed_exceptions=tuple(
            site for source in sources.values() if source.path in collating for site in _find_swallowed(source)
        ),
        generate_calls=tuple(site for source in written for site in _find_generation(source)),
        left_padding=tuple(site for source in written for site in _find_left_padding(source)),
        training_moves=tuple(
            site for source in sources.values() if source.path in training for site in _find_moves(source)
        ),
        batch_entries=find_entries([source for source in sources.values() if source.path in (collating or training)]),
    )


def find_parts(config: Config) -> dict[str, str]:
    """Part -> "module:function", for the parts that are the user's own."""
    return {part: target for part in PARTS if (target := getattr(config.subject, part))}


def read_part(config: Config, target: str) -> tuple[Source, ...] | Unknown:
    """The module behind "module:function" and what it imports from `subject.path`, itself first."""
    root = config.subject.path
    finder = Exports(search_path=[str(root), *sys.path], asks_finders=True)
    module, _, function = target.partition(":")
    path = finder.find_source(module)
    if path is None:
        return Unknown(reason=f"there is no module {module} in {root} or on sys.path; set `subject.path` to its folder")
    status, _ = finder.resolve(module, function.partition(".")[0])
    sources: dict[Path, Source] = {}
    waiting = [(module, path)]
    while waiting and len(sources) < _MOST_FILES:
        module, path = waiting.pop(0)
        if path in sources:
            continue
        source = read_source(path, _shorten(path, root))
        if isinstance(source, Unknown):
            return source
        sources[path] = source
        waiting += _find_own_modules(module, source, finder, root)
    first = next(iter(sources.values()))
    if status == "missing name":
        return Unknown(reason=f"{first.name} defines no {function}{_suggest(function, first)}")
    return tuple(sources.values())


def _shorten(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _suggest(name: str, source: Source) -> str:
    functions = [node.name for node in iterate_statements(source.tree) if isinstance(node, ast.FunctionDef)]
    close = difflib.get_close_matches(name, functions, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _find_own_modules(module: str, source: Source, finder: Exports, root: Path) -> Iterator[tuple[str, Path]]:
    """The modules below `subject.path` that a file imports; installed packages inside it do not count."""
    package = module if source.path.name == "__init__.py" else module.rpartition(".")[0]
    for site in source.imports:
        name = site.module
        if site.level:
            steps = package.split(".")[: len(package.split(".")) - site.level + 1]
            name = ".".join(part for part in (*steps, site.module) if part)
        for candidate in (f"{name}.{site.name}", name) if site.name else (name,):
            path = finder.find_source(candidate) if candidate.strip(".") else None
            if path and path.is_relative_to(root) and "site-packages" not in path.parts:
                yield candidate, path


def _sort(uses: Iterable[ApiUse]) -> tuple[ApiUse, ...]:
    """Each name once per line, in the order of the lines."""
    once = {(use.site.file, use.site.line, use.name): use for use in uses}
    return tuple(once[key] for key in sorted(once))


def _find_moves(source: Source) -> Iterator[Site]:
    """Calls by which a trainer could bring a batch to a device by itself."""
    for call in source.find_calls():
        name = call.func.attr if isinstance(call.func, ast.Attribute) else dotted_name(call.func) or ""
        if name in ("to", "cuda", "send_to_device"):
            yield source.site(call)


def _find_auto_classes(source: Source) -> Iterator[ApiUse]:
    for call in source.find_calls():
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in ("from_pretrained", "from_config"):
            continue
        name = (source.full_name(call.func.value) or "").rpartition(".")[2]
        if name.startswith("AutoModel"):
            yield ApiUse(name=name, site=source.site(call), replacement=None)


def _find_absent_names(
    source: Source, exports: Exports, own: frozenset[str], is_own: Callable[[str], bool]
) -> Iterator[ApiUse]:
    yield from _check_imports(source, exports, is_own)
    yield from _check_attributes(source, exports, own)
    yield from _check_keywords(source, exports)


def _check_imports(source: Source, exports: Exports, is_own: Callable[[str], bool]) -> Iterator[ApiUse]:
    """`is_own` tells a top-level name that is taken from `subject.path`, whatever else is installed under that name."""
    for site in source.imports:
        package = site.module.partition(".")[0]
        if site.level or site.tried or site.guarded or not exports.is_installed(package) or is_own(package):
            continue
        if exports.resolve(site.module, site.name)[0] in ("missing module", "missing name"):
            name = f"{site.module}.{site.name}" if site.name else site.module
            yield ApiUse(name=name, site=source.site(site), replacement=REPLACEMENTS.get(site.name or ""))


def _check_attributes(source: Source, exports: Exports, own: frozenset[str]) -> Iterator[ApiUse]:
    for node, _ in source.nodes:
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        base = source.full_name(node.value)
        if base is not None and base.partition(".")[0] in _CHECKED_PACKAGES:
            if _lacks(exports, base, node.attr):
                yield ApiUse(
                    name=f"{base}.{node.attr}", site=source.site(node), replacement=REPLACEMENTS.get(node.attr)
                )
        elif node.attr in _OWNERS and node.attr not in own:
            owner = _OWNERS[node.attr]
            members = exports.find_members(*owner)
            if members is not None and node.attr not in members:
                name = f"{owner[1]}.{node.attr}"
                yield ApiUse(name=name, site=source.site(node), replacement=REPLACEMENTS.get(node.attr))


def _lacks(exports: Exports, base: str, attribute: str) -> bool:
    """Whether `base.attribute` surely fails, for a module or a class `base`."""
    if attribute.startswith("__"):
        return False
    if exports.find_source(base) is not None:
        return exports.resolve(base, attribute)[0] == "missing name"
    module, _, name = base.rpartition(".")
    if exports.find_source(module) is None:
        return False
    members = exports.find_members(module, name)
    return members is not None and attribute not in members and attribute not in dir(type)


def _check_keywords(source: Source, exports: Exports) -> Iterator[ApiUse]:
    """Keywords that a library's class does not take (any more), given directly or through a dict that is spelt out."""
    derived = dict(_find_plain_subclasses(source))
    dicts = {name: value for (_, name), value in find_spelt_dicts(source).items()}
    for call in source.find_calls():
        name = source.full_name(call.func) or ""
        name = derived.get(name, name)
        module, _, called = name.rpartition(".")
        if name.partition(".")[0] not in _CHECKED_PACKAGES or exports.find_source(module) is None:
            continue
        parameters = exports.find_parameters(module, called)
        if parameters is None:
            continue
        for key, node in find_given_keywords(call, dicts.get):
            if not parameters.accepts(key):
                yield ApiUse(name=f"{called}({key}=)", site=source.site(node), replacement=REPLACEMENTS.get(key))


def _find_plain_subclasses(source: Source) -> Iterator[tuple[str, str]]:
    """A class of the user's without an `__init__` takes what its base takes."""
    for node in iterate_statements(source.tree):
        if isinstance(node, ast.ClassDef) and len(node.bases) == 1 and find_method(node, "__init__") is None:
            base = source.full_name(node.bases[0])
            if base is not None:
                yield node.name, base


def _find_image_calls(source: Source) -> Iterator[Site]:
    made = {
        target.id
        for node, _ in source.nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if "AutoProcessor" in (source.full_name(node.value.func) or "")
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in source.find_calls():
        called = (dotted_name(call.func) or "").rpartition(".")[2]
        if any(k.arg == "images" for k in call.keywords) and ("processor" in called.lower() or called in made):
            yield source.site(call, "processor(images=...)")


def _find_generation(source: Source) -> Iterator[Site]:
    for call in source.find_calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr == "generate":
            yield source.site(call, "generate")


def _find_left_padding(source: Source) -> Iterator[Site]:
    """`tokenizer.padding_side = "left"`, or the keyword of a call."""
    for node, _ in source.nodes:
        if isinstance(node, ast.Assign):
            given = [(getattr(target, "attr", None), node.value) for target in node.targets]
        else:
            given = [(k.arg, k.value) for k in node.keywords] if isinstance(node, ast.Call) else []
        if any(name == "padding_side" and _is_text(value, "left") for name, value in given):
            yield source.site(node, "padding_side")


def _is_text(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def _find_text_files(source: Source) -> Iterator[Site]:
    for call in source.find_calls():
        encoding = _find_encoding(source, call)
        if encoding is None:
            continue
        if not encoding or encoding == "locale":
            yield source.site(call, "no encoding")
        elif _LEGACY.fullmatch(encoding):
            yield source.site(call, f"legacy code page: {encoding}")


def _find_encoding(source: Source, call: ast.Call) -> str | None:
    """The encoding a text file is opened with, "" for none given, None where no text file is opened (or it is computed)."""
    name = source.full_name(call.func) or ""
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    imported = (dotted_name(call.func) or "").partition(".")[0] in source.aliases  # Image.open, and no path's open
    if name in ("open", "io.open"):
        place = 3 if _opens_text(call, 1) else None
    elif method == "open" and not imported and _opens_text(call, 0) and (call.args or call.keywords):
        place = 2 if _is_mode(call, 0) else None
    elif method in ("read_text", "write_text") and not imported:
        place = 0 if method == "read_text" else 1
    elif name.startswith("logging.") and name.endswith("FileHandler"):
        place = {"FileHandler": 2, "RotatingFileHandler": 4}.get(name.rpartition(".")[2], 99)
    elif name == "logging.basicConfig" and any(k.arg == "filename" for k in call.keywords):
        place = 99
    elif name in ("io.TextIOWrapper",) or method == "reconfigure":
        given = get_text_argument(call, 1, "encoding")
        return given or None
    else:
        return None
    if place is None or any(k.arg is None for k in call.keywords):
        return None
    if len(call.args) > place or any(k.arg == "encoding" for k in call.keywords):
        given = get_text_argument(call, place, "encoding")
        return given.lower() if given is not None else "" if _gives_none(call, place) else None
    return ""


def _gives_none(call: ast.Call, place: int) -> bool:
    values = [k.value for k in call.keywords if k.arg == "encoding"] + call.args[place : place + 1]
    return any(isinstance(value, ast.Constant) and value.value is None for value in values)


def _opens_text(call: ast.Call, place: int) -> bool:
    """Whether the mode is written out and is a text mode, or is left at "r"."""
    given = len(call.args) > place or any(k.arg == "mode" for k in call.keywords)
    mode = get_text_argument(call, place, "mode")
    return not given or (mode is not None and "b" not in mode)


def _is_mode(call: ast.Call, place: int) -> bool:
    """`path.open("w")`, told apart from `Image.open(path)` by the mode."""
    mode = get_text_argument(call, place, "mode")
    return mode is not None and re.fullmatch(r"[rwaxt+]{1,3}", mode) is not None


def _find_swallowed(source: Source) -> Iterator[Site]:
    """`for ...: try: ... except Exception: continue`: rows disappear without a word."""
    seen: set[int] = set()
    for loop, _ in source.nodes:
        if not isinstance(loop, (ast.For, ast.AsyncFor, ast.While)):
            continue
        for node in ast.walk(loop):
            if not isinstance(node, ast.ExceptHandler) or node.lineno in seen or not _is_broad(node):
                continue
            inner = list(ast.walk(node))
            if any(isinstance(step, (ast.Raise, ast.Return)) for step in inner):
                continue
            drops = any(isinstance(step, ast.Continue) for step in inner)
            if drops or all(isinstance(step, (ast.Pass, ast.Expr)) for step in node.body):
                seen.add(node.lineno)
                yield source.site(node, "swallowed exception")


def _is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or dotted_name(kind) in _BROAD for kind in kinds)
