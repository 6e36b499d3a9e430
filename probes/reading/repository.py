"""The model directory: its JSON files by parsing, its remote code by syntax tree. Nothing in it is executed."""

from __future__ import annotations

import ast
import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflight_ocr.harness.config.hub import WEIGHTS, find_snapshot
from preflight_ocr.harness.facts import Import, Repository, Signature, Unknown
from preflight_ocr.harness.foreign.files import is_there, open_file
from preflight_ocr.probes.reading.exports import Exports
from preflight_ocr.probes.reading.hazards import find_device_sites, find_hazards
from preflight_ocr.probes.reading.json_files import get_object, get_text, get_whole, read_bytes, read_object
from preflight_ocr.probes.reading.safetensors_files import sum_shards
from preflight_ocr.probes.reading.source import (
    Function,
    ImportSite,
    Source,
    dotted_name,
    find_class,
    find_method,
    iterate_statements,
    read_signature,
    read_source,
)

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config

_JSON_WITH_CODE = ("config.json", "processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
_TEXT_SECTIONS = ("text_config", "language_config", "llm_config")
_SUPPORTS = {
    "_supports_sdpa": "sdpa",
    "_supports_flash_attn": "flash_attention_2",
    "_supports_flash_attn_2": "flash_attention_2",
    "_supports_flex_attn": "flex_attention",
}
_IMPLEMENTATIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
_MOST_FILES = 200
_LARGEST_CODE = 2**20  # bytes of all files together; the largest known model has a third of it


def find_model_directory(config: Config) -> Path | Unknown:
    """`model.base_model` as a folder on this machine: a local path, or a snapshot in the Hub's cache.

    Unknown, with what to type next, when it is neither. Nothing is downloaded.
    """
    name = config.model.base_model
    if config.model.directory is not None:
        return config.model.directory
    if is_there(Path(name)):
        return Unknown(reason=f"{name} is a file; `model.base_model` expects the model's folder or a Hub id")
    if not config.model.is_hub_id:
        return Unknown(reason=f"there is no folder {name}; correct `model.base_model` in {config.source}")
    revision = config.model.revision or "main"
    if (snapshot := find_snapshot(config)) is not None:
        return snapshot
    pinned = f", revision={revision!r}" if config.model.revision else ""
    where = f", cache_dir={str(config.model.cache_dir)!r}" if config.model.cache_dir else ""
    without = ", ".join(repr(f"*{ending}") for ending in WEIGHTS)
    command = (
        f'python -c "from huggingface_hub import snapshot_download as d; '
        f'd({name!r}{pinned}{where}, ignore_patterns=[{without}])"'
    )
    return Unknown(
        reason=f"{name} (revision {revision}) is not on this machine, neither as a folder nor in the Hub's cache; "
        f"correct `model.base_model`, or fetch it without its weights: {command}"
    )


def look_at_repository(directory: Path, exports: Exports) -> Repository | Unknown:
    """Everything the folder says about itself. Unknown when it has no readable config.json."""
    config = read_object(directory / "config.json")
    if config is None:
        return Unknown(reason=f"{directory}: there is no config.json, so this is not a model's folder")
    if isinstance(config, Unknown):
        return config
    auto_map = read_auto_map(get_object(config, "auto_map"))
    code = RemoteCode(directory, auto_map)
    language = next((get_object(config, key) for key in _TEXT_SECTIONS if get_object(config, key)), {})
    listed = config.get("architectures")
    architectures = tuple(a for a in listed if isinstance(a, str)) if isinstance(listed, list) else ()
    has_code = bool(auto_map) or bool(code.files)
    return Repository(
        path=str(directory),
        model_type=get_text(config, "model_type"),
        architectures=architectures,
        auto_map=auto_map,
        has_remote_code=has_code,
        files=_digest_files(directory, code),
        unread_code=tuple(source.reason for source in code.files.values() if isinstance(source, Unknown)),
        forward=code.find_forward(auto_map) if has_code else find_installed_forward(architectures, exports),
        imports=tuple(_resolve_imports(code, exports)),
        device_sites=tuple(site for source in code.sources for site in find_device_sites(source)),
        suspicious=tuple(site for source in code.sources for site in find_hazards(source)),
        attention=code.find_attention(auto_map),
        vocabulary=_find_vocabulary(config, language),
        tied_embeddings=_first(config, language, "tie_word_embeddings") is True,
        torch_dtype=_find_dtype(config, language),
        weights_bytes=_measure_weights(directory),
    )


def find_installed_forward(architectures: Sequence[str], exports: Exports) -> Signature | Unknown:
    """The signature of forward in the transformers class that config.json names, from the installed source."""
    if not architectures:
        return Unknown(reason="config.json names no architecture, and there is no remote code")
    for module, known in exports.walk_class("transformers", architectures[0]):
        if known and "forward" in known.members and (forward := _read_forward(module, known.name, exports)):
            return read_signature(forward, f"{architectures[0]}.forward")
    return Unknown(reason=f"{architectures[0]} is neither in this folder nor in the installed transformers")


def _read_forward(module: str, name: str, exports: Exports) -> Function | None:
    path = exports.find_source(module)
    source = read_source(path, path.name) if path else None
    if not isinstance(source, Source):
        return None
    node = find_class(source.tree, name)
    return find_method(node, "forward") if node else None


class RemoteCode:
    """The Python files that loading the model would run: what auto_map names, and what relative imports lead to."""

    def __init__(self, directory: Path, auto_map: dict[str, str]) -> None:
        self._directory, self._read = directory, 0
        self.files: dict[str, Source | Unknown] = {}  # "modeling_x" or "sub.module" -> its source
        self._follow([*_find_code_modules(directory, auto_map)])

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(source for source in self.files.values() if isinstance(source, Source))

    def _follow(self, waiting: list[str]) -> None:
        """Read the modules and everything they import from their own repository."""
        while waiting and len(self.files) < _MOST_FILES:
            name = waiting.pop(0)
            if name in self.files:
                continue
            path = self._find_file(name)
            if path is None:
                relative = name.replace(".", "/") + ".py"
                self.files[name] = Unknown(
                    reason=f"{relative}: the model's code asks for this file and it is not there"
                )
                continue
            relative = path.relative_to(self._directory).as_posix()
            size = path.stat().st_size
            if self._read + size > _LARGEST_CODE:
                said = f"not read: the model's code has more than {_LARGEST_CODE:,} bytes, more than can be examined"
                self.files[name] = Unknown(reason=f"{relative}: {said}")
                continue
            self._read += size
            source = read_source(path, relative)
            self.files[name] = source
            if isinstance(source, Source):
                waiting += self._find_neighbours(name, source)

    def find_forward(self, auto_map: dict[str, str]) -> Signature | Unknown:
        """The signature of the model's own forward, taken from a base class where the class has none."""
        found = self._find_model_class(auto_map)
        if isinstance(found, Unknown):
            return found
        for _module, node, base in self._walk_bases(*found):
            if node is None:
                return Unknown(
                    reason=f"{found[1].name} has no forward of its own; its base {base} is not in this folder"
                )
            if forward := find_method(node, "forward"):
                return read_signature(forward, f"{node.name}.forward")
        return Unknown(reason=f"{found[1].name} and its bases define no forward")

    def find_attention(self, auto_map: dict[str, str]) -> tuple[str, ...] | Unknown:
        """The attention implementations the model's classes declare; the class wins over its bases."""
        found = self._find_model_class(auto_map)
        if isinstance(found, Unknown):
            return found
        declared: dict[str, bool] = {}
        for _module, node, base in self._walk_bases(*found):
            if node is None and base and not _is_root_class(base):
                return Unknown(reason=f"{found[1].name} inherits from {base}, which is not in this folder")
            for name, value in _find_class_flags(node) if node else ():
                declared.setdefault(name, value)
        if None in declared.values():
            return Unknown(reason=f"{found[1].name} works out its attention implementations when it is imported")
        names = {_SUPPORTS[name] for name, value in declared.items() if value}
        tables = {key for source in self.sources for key in _find_attention_tables(source)}
        if tables:
            names = {name for name in tables if name in _IMPLEMENTATIONS}
        return tuple(name for name in _IMPLEMENTATIONS if name in {"eager", *names})

    def _find_model_class(self, auto_map: dict[str, str]) -> tuple[str, ast.ClassDef] | Unknown:
        models = [key for key in auto_map if key.startswith("AutoModel")]
        if not models:
            return Unknown(reason="no remote code" if not auto_map else "auto_map names no AutoModel class")
        # A model head for generation is what is trained; plain AutoModel is the last choice.
        target = auto_map[max(models, key=lambda key: ("ImageTextToText" in key, "CausalLM" in key, len(key)))]
        if "--" in target:
            return Unknown(reason=f"auto_map points to another repository: {target}")
        module, _, name = target.rpartition(".")
        found = self._find_class(module, name)
        if found is None:
            source = self.files.get(module)
            known = source if isinstance(source, Unknown) else None
            return known or Unknown(reason=f"auto_map names {target}, and no such class is in {module}.py")
        return found

    def _find_class(self, module: str, name: str) -> tuple[str, ast.ClassDef] | None:
        for _ in range(_MOST_FILES):
            source = self.files.get(module)
            if not isinstance(source, Source):
                return None
            if node := find_class(source.tree, name):
                return module, node
            for site in source.imports:
                if site.level and site.name == name:
                    module = _join(module, site)
                    break
            else:
                return None
        return None

    def _walk_bases(self, module: str, node: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef | None, str]]:
        """(module, class, name), the class first, then its bases depth first; class None for one from elsewhere."""
        waiting: list[tuple[str, ast.ClassDef | None, str]] = [(module, node, node.name)]
        seen: set[tuple[str, str]] = set()
        while waiting:
            here, known, name = waiting.pop(0)
            if (here, name) in seen:
                continue
            seen.add((here, name))
            yield here, known, name
            if known is None:
                continue
            source = self.files[here]
            bases: list[tuple[str, ast.ClassDef | None, str]] = []
            for base in known.bases:
                dotted = dotted_name(base.value if isinstance(base, ast.Subscript) else base) or ""
                found = self._find_class(here, dotted.rpartition(".")[2])
                full = source.full_name(base) if isinstance(source, Source) else None
                bases.append((*found, found[1].name) if found else ("", None, full or dotted or "a computed class"))
            # Bases from elsewhere come last: what this folder defines wins in every case that matters here.
            waiting = [b for b in bases if b[1]] + waiting + [b for b in bases if not b[1]]

    def _find_neighbours(self, module: str, source: Source) -> Iterator[str]:
        for site in source.imports:
            if not site.level:
                continue
            target = _join(module, site)
            if site.name and site.name != "*":
                inner = f"{target}.{site.name}".lstrip(".")
                if self._find_file(inner):
                    yield inner
                    continue
            if target:
                yield target

    def _find_file(self, module: str) -> Path | None:
        stem = self._directory.joinpath(*module.split("."))
        candidates = (stem.with_name(stem.name + ".py"), stem / "__init__.py")
        return next((path for path in candidates if path.is_file()), None)


def _join(module: str, site: ImportSite) -> str:
    """The module a relative import means, seen from `module`."""
    above = module.split(".")[: -site.level]
    return ".".join([*above, *([site.module] if site.module else [])])


def _find_code_modules(directory: Path, auto_map: dict[str, str]) -> Iterable[str]:
    """Every module that an auto_map in this folder names."""
    targets = list(auto_map.values())
    for name in _JSON_WITH_CODE[1:]:
        values = read_object(directory / name)
        if isinstance(values, dict):
            targets += read_auto_map(get_object(values, "auto_map")).values()
    return dict.fromkeys(target.rpartition(".")[0] for target in targets if "." in target and "--" not in target)


def read_auto_map(values: dict[str, Any]) -> dict[str, str]:
    """Auto class -> "module.Class"; of the pair (slow, fast) that tokenizers give, the one that is there."""
    mapped: dict[str, str] = {}
    for key, value in values.items():
        entries = [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, str)]
        if entries:
            mapped[str(key)] = entries[-1]
    return mapped


def _resolve_imports(code: RemoteCode, exports: Exports) -> Iterator[Import]:
    for module, source in code.files.items():
        if isinstance(source, Unknown):
            file = f"{module.replace('.', '/')}.py"
            yield Import(
                module=module, name=None, file=file, line=1, conditional=False, status="undecided", detail=source.reason
            )
            continue
        for site in source.imports:
            if site.level:
                continue
            status, detail = exports.resolve(site.module, site.name)
            package = site.module.partition(".")[0]
            if status in ("missing module", "missing name") and not detail:
                detail = _describe_version(package)
            yield Import(
                module=site.module,
                name=site.name,
                file=source.name,
                line=site.line,
                conditional=_is_conditional(site, status, exports),
                status=status,
                detail=detail,
            )


def _is_conditional(site: ImportSite, status: str, exports: Exports) -> bool:
    """Whether the model still loads without it.

    transformers refuses remote code for any missing package, one imported deep inside a function included, unless the
    import stands in a `try` or behind an availability check. Its older releases look with patterns in place of a syntax
    tree, and these do not match `import a as b`.
    """
    if site.tried or site.guarded:
        return True
    if status != "missing package":
        return site.deferred or site.branched
    loader_parses = exports.resolve("transformers.dynamic_module_utils", "ast")[0] == "found"
    return site.deferred and site.name is None and site.renamed and not loader_parses


def _describe_version(package: str) -> str:
    from importlib import metadata

    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def _is_root_class(base: str) -> bool:
    """Classes above every model, which declare no attention implementation of their own."""
    roots = ("PreTrainedModel", "GenerationMixin", "Module", "ABC", "object", "ModuleUtilsMixin", "Generic", "Protocol")
    return base.rpartition(".")[2] in roots


def _find_class_flags(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for child in node.body:
        if not isinstance(child, (ast.Assign, ast.AnnAssign)) or child.value is None:
            continue
        value = child.value
        for target in child.targets if isinstance(child, ast.Assign) else [child.target]:
            if isinstance(target, ast.Name) and target.id in _SUPPORTS:
                yield target.id, value.value if isinstance(value, ast.Constant) else None


def _find_attention_tables(source: Source) -> Iterator[str]:
    """The keys of `..._ATTENTION_CLASSES = {"eager": ..., ...}`."""
    for node in iterate_statements(source.tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict):
            continue
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if any(name.endswith("ATTENTION_CLASSES") for name in names):
            keys = (key.value for key in node.value.keys if isinstance(key, ast.Constant))
            yield from (key for key in keys if isinstance(key, str))


def _digest_files(directory: Path, code: RemoteCode) -> dict[str, str]:
    try:
        paths = {path for path in directory.iterdir() if path.suffix in (".py", ".json", ".jinja") and path.is_file()}
    except OSError:
        paths = set()
    paths |= {source.path for source in code.sources}
    digests = {}
    for path in sorted(paths):
        data = read_bytes(path)
        if isinstance(data, bytes):
            name = path.relative_to(directory).as_posix().encode("utf-8", "replace").decode()
            digests[name] = hashlib.sha256(data).hexdigest()
    return digests


def _first(config: dict[str, Any], language: dict[str, Any], key: str) -> Any:
    return config[key] if key in config else language.get(key)


def _find_vocabulary(config: dict[str, Any], language: dict[str, Any]) -> int | Unknown:
    for values in (config, language):
        size = get_whole(values, "vocab_size")
        if size is not None:
            return size
    return Unknown(reason="config.json gives no vocab_size")


def _find_dtype(config: dict[str, Any], language: dict[str, Any]) -> str | None:
    texts = (get_text(values, key) for values in (config, language) for key in ("dtype", "torch_dtype"))
    return next((text.removeprefix("torch.") for text in texts if text), None)


def _is_cut(path: Path) -> bool:
    """Whether a file of torch's has lost its end: it is an archive, whose directory stands there, or an older pickle."""
    with open_file(path) as file:
        begins = file.read(2)
    return not begins or (begins == b"PK" and not zipfile.is_zipfile(path))


def _measure_weights(directory: Path) -> int | Unknown:
    """The size of the weights in bytes, from the index or from the headers; no weight is read."""
    described = read_object(directory / "generation_config.json")  # it is loaded with the weights
    if isinstance(described, Unknown):
        return described
    try:
        shards = sorted(path for path in directory.glob("*.safetensors") if path.is_file())
        total = sum_shards(shards) if shards else None
        if isinstance(total, Unknown):
            return total
        for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
            index = read_object(directory / name)
            if isinstance(index, Unknown):
                return index
            if index is not None:
                size = get_whole(get_object(index, "metadata"), "total_size")
                if size is not None:
                    return size
        if total is not None:
            return total
        files = [path for path in sorted(directory.glob("pytorch_model*.bin")) if path.is_file()]
        if cut := next((path for path in files if _is_cut(path)), None):
            return Unknown(reason=f"{cut}: empty, or cut short; fetch it again", cause="unreadable file")
        pickles = [path.stat().st_size for path in files]
    except OSError as error:
        return Unknown(reason=f"{directory}: the weights cannot be read: {error.strerror}", cause="unreadable file")
    return sum(pickles) if pickles else Unknown(reason=f"{directory} holds no weights")
