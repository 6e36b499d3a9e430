"""Model folders, planted and broken, and what is read in them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from preflight_ocr.harness.facts import Repository, Signature, Unknown
from preflight_ocr.probes.reading.repository import find_model_directory, look_at_repository

CONFIG = {
    "model_type": "tiny",
    "architectures": ["TinyForOCR"],
    "auto_map": {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModel": "modeling_tiny.TinyForOCR"},
    "language_config": {"vocab_size": 320, "torch_dtype": "bfloat16"},
}
SITE = {
    "site/torch/__init__.py": "def no_grad(): ...\nfrom . import nn\n",
    "site/torch/nn.py": "class Module: ...\n",
    "site/transformers/__init__.py": "class PreTrainedModel: ...\n",
    "site/transformers/utils.py": "def is_flash_attn_2_available(): ...\n",
    "site/transformers/dynamic_module_utils.py": "import ast\n",
}


def look(plant, exports, code: str, config=CONFIG, **others) -> Repository:
    folder = plant({**SITE, "model/config.json": config, "model/modeling_tiny.py": code, **others}) / "model"
    seen = look_at_repository(folder, exports)
    assert isinstance(seen, Repository)
    return seen


def problems(repository: Repository) -> dict[tuple[str, str | None], tuple[str, bool]]:
    return {(i.module, i.name): (i.status, i.conditional) for i in repository.imports if i.status != "found"}


def test_the_signature_is_that_of_the_class_in_auto_map(plant, exports):
    seen = look(
        plant,
        exports,
        """
        from transformers import PreTrainedModel
        class Other:
            def forward(self, nothing): ...
        class TinyForOCR(PreTrainedModel):
            def forward(self, input_ids, pictures=None, /, *rest, flag, **more): ...
        """,
    )
    assert isinstance(seen.forward, Signature)
    assert seen.forward.owner == "TinyForOCR.forward"
    assert [(p.name, p.kind, p.has_default) for p in seen.forward.parameters] == [
        ("input_ids", "positional_only", False),
        ("pictures", "positional_only", True),
        ("rest", "var_positional", True),
        ("flag", "keyword_only", False),
        ("more", "var_keyword", True),
    ]


def test_a_forward_inherited_within_the_folder_is_found_in_its_file(plant, exports):
    seen = look(
        plant,
        exports,
        "from .inner import Parent as Above, Config\nfrom .parts.deep import Base\nclass TinyForOCR(Base): ...\n",
        **{
            "model/parts/__init__.py": "",
            "model/parts/deep.py": "from ..inner import Parent\nclass Base(Parent): ...\n",
            "model/inner.py": "class Config: ...\nclass Parent:\n    def forward(self, input_ids, images=None): ...\n",
        },
    )
    assert isinstance(seen.forward, Signature)
    assert seen.forward.names == ("input_ids", "images")
    assert {"inner.py", "parts/deep.py", "modeling_tiny.py", "config.json"} <= set(seen.files)


def test_a_forward_that_is_defined_elsewhere_is_unknown_with_the_base_class_named(plant, exports):
    code = "from transformers import PreTrainedModel\nclass TinyForOCR(PreTrainedModel): ...\n"
    forward = look(plant, exports, code).forward
    assert isinstance(forward, Unknown)
    assert "transformers.PreTrainedModel" in forward.reason


def test_bases_in_a_circle_leave_forward_unknown(plant, exports):
    code = "class A(B): ...\nclass B(A): ...\nclass TinyForOCR(A): ...\n"
    assert isinstance(look(plant, exports, code).forward, Unknown)


def test_each_import_is_judged_by_what_is_installed_and_by_what_stands_around_it(plant, exports):
    seen = look(
        plant,
        exports,
        """
        import math, torch
        import torch.nn as nn
        from torch import nothing_of_the_sort
        from transformers import PreTrainedModel, GoneModel
        from transformers.gone import thing
        from transformers.utils import is_flash_attn_2_available
        import addict
        try:
            import optional_one
        except ImportError:
            optional_one = None
        if is_flash_attn_2_available():
            from flash_attn import flash_attn_func
        def draw():
            import plotting as p
        def late():
            from transformers import GoneToo
        class TinyForOCR: ...
        """,
    )
    assert problems(seen) == {
        ("torch", "nothing_of_the_sort"): ("missing name", False),
        ("transformers", "GoneModel"): ("missing name", False),
        ("transformers.gone", "thing"): ("missing module", False),
        ("addict", None): ("missing package", False),
        ("optional_one", None): ("missing package", True),
        ("flash_attn", "flash_attn_func"): ("missing package", True),
        ("plotting", None): ("missing package", False),
        ("transformers", "GoneToo"): ("missing name", True),
    }


def test_an_older_loader_does_not_see_a_renamed_import_inside_a_function(plant, exports):
    old = {"site/transformers/dynamic_module_utils.py": "import re\n"}
    code = "def draw():\n    import plotting as p\n    import addict\nclass TinyForOCR: ...\n"
    seen = problems(look(plant, exports, code, **old))
    assert seen == {("plotting", None): ("missing package", True), ("addict", None): ("missing package", False)}


def test_hard_coded_devices_and_switched_off_gradients_are_listed_with_their_lines(plant, exports):
    seen = look(
        plant,
        exports,
        """
        import torch
        class TinyForOCR:
            @torch.no_grad()
            def see(self, x):
                with torch.autocast("cuda", dtype=None):
                    return x.cuda()
            def forward(self, x):
                with torch.no_grad():
                    y = x.to("cuda:0") + torch.zeros(1, device="cuda")
                return y.to(x.device)
        """,
    )
    kinds = [(site.line, site.kind) for site in seen.device_sites]
    assert kinds == [(4, "no_grad"), (6, "autocast"), (7, "cuda"), (9, "no_grad"), (10, "cuda")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("import subprocess; subprocess.run(['ls'])", "runs a command"),
        ("from os import system as s; s('ls')", "runs a command"),
        ("import os; os._exit(1)", "ends the process at once"),
        ("import socket as k; k.create_connection(('a', 1))", "opens a connection"),
        ("import requests; requests.get('u')", "opens a connection"),
        ("from urllib import request; request.urlopen('u')", "opens a connection"),
        ("eval('1')", "evaluates text as code"),
        ("exec('1')", "evaluates text as code"),
        ("open('x', 'w')", "writes a file"),
        ("open('x', mode='ab')", "writes a file"),
        ("import ctypes; ctypes.CDLL('x')", "calls native code"),
        ("import pickle; pickle.load(f)", "unpickles, which can run any code"),
        ("import torch; torch.load(f)", "unpickles, which can run any code"),
    ],
)
def test_a_call_that_could_do_harm_is_listed(plant, exports, line, kind):
    seen = look(plant, exports, f"{line}\nclass TinyForOCR: ...\n")
    assert [(site.line, site.kind) for site in seen.suspicious] == [(1, kind)]


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "open('x')",
        "open('x', 'rb')",
        "import torch; torch.load(f, weights_only=True)",
        "import re; re.compile('x')",
        "def fetch():\n    import requests\n    requests.get('u')",
    ],
)
def test_a_harmless_call_is_not_listed(plant, exports, line):
    assert look(plant, exports, f"{line}\nclass TinyForOCR: ...\n").suspicious == ()


def test_attention_is_what_the_class_declares(plant, exports):
    seen = look(
        plant,
        exports,
        """
        from transformers import PreTrainedModel
        class Base(PreTrainedModel):
            _supports_sdpa = True
            _supports_flash_attn_2 = True
        class TinyForOCR(Base):
            _supports_sdpa = False
        """,
    )
    assert seen.attention == ("eager", "flash_attention_2")


def test_a_table_of_attention_classes_says_more_than_the_flags(plant, exports):
    code = 'TINY_ATTENTION_CLASSES = {"eager": 1, "sdpa": 2, "mla_eager": 3}\nclass TinyForOCR: ...\n'
    assert look(plant, exports, code).attention == ("eager", "sdpa")


@pytest.mark.parametrize(
    "code",
    [
        "from transformers import LlamaPreTrainedModel\nclass TinyForOCR(LlamaPreTrainedModel): ...\n",
        "class TinyForOCR:\n    _supports_sdpa = decide()\n",
    ],
)
def test_attention_that_cannot_be_told_by_reading_is_unknown(plant, exports, code):
    assert isinstance(look(plant, exports, code).attention, Unknown)


def test_numbers_of_config_json_may_stand_in_the_language_section(plant, exports):
    seen = look(plant, exports, "class TinyForOCR: ...", **{"model/config.json": {**CONFIG, "dtype": "torch.float32"}})
    assert (seen.vocabulary, seen.torch_dtype, seen.tied_embeddings) == (320, "float32", False)


def test_weights_are_measured_by_the_index_or_by_the_header(plant, exports):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    shard = len(header).to_bytes(8, "little") + header + b"\0" * 8
    code = "class TinyForOCR: ..."
    assert look(plant, exports, code, **{"model/model.safetensors": shard}).weights_bytes == 8
    cut = look(plant, exports, code, **{"model/model.safetensors": shard[:-3]}).weights_bytes
    assert isinstance(cut, Unknown)
    assert "cut short" in cut.reason
    index = {"model/model.safetensors": shard, "model/model.safetensors.index.json": {"metadata": {"total_size": 99}}}
    assert look(plant, exports, code, **index).weights_bytes == 99


def test_a_folder_without_weights_says_so(plant, exports):
    assert isinstance(look(plant, exports, "class TinyForOCR: ...").weights_bytes, Unknown)


@pytest.mark.parametrize(
    ("junk", "words"),
    [
        ('{\n "a": 1,\n "b" 2\n}', ":3:"),
        (b"\xff\xfe\x00\x01 binary", ":1:"),
        (b'{"a": "\xf8"}', ":1:"),
        ("[1, 2]", "expected an object"),
        (b"[" * 1_000_000, "config.json"),
        (b'{"a":' * 200_000, "config.json"),
        ("", "broken JSON"),
    ],
)
def test_a_broken_config_json_is_unknown_with_file_and_line(plant, exports, junk, words):
    folder = plant({"model/config.json": junk}) / "model"
    seen = look_at_repository(folder, exports)
    assert isinstance(seen, Unknown)
    assert words in seen.reason


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\nprint 'python 2'\n", "modeling_tiny.py:2"),
        (b"x = '\xff\xfe'\n", "modeling_tiny.py"),
        (b"x = 1\0\n", "modeling_tiny.py"),
        ("x = " + "(" * 5000 + ")" * 5000, "modeling_tiny.py"),
        ("x = " + "-" * 100_000 + "1", "modeling_tiny.py"),
        ("class Somebody: ...", "TinyForOCR"),
    ],
)
def test_code_that_cannot_be_parsed_leaves_forward_unknown(plant, exports, code, words):
    seen = look(plant, exports, code)
    assert isinstance(seen.forward, Unknown)
    assert words in seen.forward.reason


def test_code_nested_as_deep_as_the_parser_allows_is_read(plant, exports):
    ladder = "if a:\n    pass\n" + "elif a:\n    pass\n" * 2000 + "x = " + "1+" * 900 + "1\n"
    seen = look(plant, exports, ladder + "class TinyForOCR:\n    def forward(self, x): ...\n")
    assert isinstance(seen.forward, Signature | Unknown)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need POSIX")
def test_links_in_a_circle_and_pipes_neither_hang_nor_raise(plant, exports):
    folder = plant({"model/config.json": CONFIG}) / "model"
    (folder / "modeling_tiny.py").symlink_to(folder / "b.py")
    (folder / "b.py").symlink_to(folder / "modeling_tiny.py")
    os.mkfifo(folder / "generation_config.json")
    (folder / "loop.json").symlink_to(folder / "loop.json")
    seen = look_at_repository(folder, exports)
    assert isinstance(seen, Repository)
    assert isinstance(seen.forward, Unknown)
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert isinstance(look_at_repository(folder, exports), Unknown)


def test_a_module_that_is_not_there_is_an_undecided_import_with_its_name(plant, exports):
    seen = look(plant, exports, "from .forgotten import thing\nclass TinyForOCR: ...\n")
    assert [(i.file, i.status) for i in seen.imports] == [("forgotten.py", "undecided")]


@pytest.mark.parametrize("auto_map", [{"AutoModel": 3}, {"AutoModel": "nodot"}, [1], {"AutoModel": "../x.Y"}, "text"])
def test_a_strange_auto_map_is_survived(plant, exports, auto_map):
    assert isinstance(look(plant, exports, "x = 1", {**CONFIG, "auto_map": auto_map}).forward, Unknown)


def test_a_local_folder_is_the_model_directory(configure, tmp_path: Path):
    assert find_model_directory(configure()) == tmp_path / "model"


@pytest.mark.parametrize(("revision", "commit"), [(None, "a" * 40), ("b" * 40, "b" * 40), ("c" * 40, None)])
def test_a_hub_id_is_looked_up_in_the_cache_by_its_revision(plant, configure, monkeypatch, tmp_path, revision, commit):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    plant(
        {
            "hub/models--org--name/refs/main": "a" * 40,
            f"hub/models--org--name/snapshots/{'a' * 40}/config.json": {},
            f"hub/models--org--name/snapshots/{'b' * 40}/config.json": {},
        }
    )
    found = find_model_directory(configure({"model": {"base_model": "org/name", "revision": revision}}))
    if commit is None:
        assert isinstance(found, Unknown)
        assert "snapshot_download" in found.reason
    else:
        assert found == tmp_path / "hub" / "models--org--name" / "snapshots" / commit


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c", "org/../../etc"])
def test_a_path_that_is_not_there_is_unknown_and_never_a_hub_id(configure, name):
    found = find_model_directory(configure({"model": {"base_model": name}}))
    assert isinstance(found, Unknown)
    assert "there is no folder" in found.reason
