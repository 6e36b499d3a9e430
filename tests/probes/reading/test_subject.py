"""The user's own parts, planted, against planted and installed libraries."""

from __future__ import annotations

import sys

import pytest

from preflight_ocr.harness.facts import Subject, Unknown
from preflight_ocr.probes.reading.exports import Exports
from preflight_ocr.probes.reading.subject import look_at_subject

SITE = {
    "site/transformers/__init__.py": """
        from .trainer import Trainer
        from .training_args import TrainingArguments
        from .cache import DynamicCache
        from .tok import PreTrainedTokenizerBase
        class AutoModel:
            def from_pretrained(self, name, **kwargs): ...
        class AutoProcessor: ...
    """,
    "site/transformers/trainer.py": "class Trainer:\n    def __init__(self, model=None, processing_class=None): ...\n",
    "site/transformers/training_args.py": """
        from dataclasses import dataclass
        @dataclass
        class TrainingArguments:
            output_dir: str
            eval_strategy: str = "no"
            def to_dict(self): ...
    """,
    "site/transformers/cache.py": "class DynamicCache:\n    def get_seq_length(self): ...\n",
    "site/transformers/tok.py": "class PreTrainedTokenizerBase:\n    def __call__(self, text): ...\n",
}


@pytest.fixture
def look(plant, configure, exports):
    def run(code: str | bytes, part: str = "collator", function: str = "make", **others) -> Subject | Unknown:
        if isinstance(code, str) and f"def {function}" not in code:
            code += f"\ndef {function}(config): ...\n"
        plant({**SITE, "mine/parts.py": code, **{f"mine/{n}": c for n, c in others.items()}})
        folder = str(plant({}) / "mine")
        return look_at_subject(configure({"subject": {"path": folder, part: f"parts:{function}"}}), exports)

    return run


def absent(subject: Subject | Unknown) -> dict[str, str | None]:
    assert isinstance(subject, Subject), subject
    return {use.name: use.replacement for use in subject.absent_names}


def test_without_parts_of_the_users_own_there_is_nothing_to_see(configure, exports):
    assert look_at_subject(configure(), exports) == Subject(
        parts={},
        auto_classes=(),
        absent_names=(),
        image_calls_on_processor=(),
        files_without_utf8=(),
        swallowed_exceptions=(),
        generate_calls=(),
        left_padding=(),
        training_moves=(),
        batch_entries={},
    )


def test_auto_classes_used_for_loading_are_listed_and_other_auto_classes_are_not(look):
    seen = look(
        "from transformers import AutoModel as A, AutoProcessor\n"
        "import transformers\n"
        "def make(config):\n"
        "    AutoProcessor.from_pretrained('x')\n"
        "    transformers.AutoModelForCausalLM.from_config(1)\n"
        "    return A.from_pretrained('x')\n",
        part="model",
    )
    assert isinstance(seen, Subject)
    assert [(use.name, use.site.line) for use in seen.auto_classes] == [("AutoModelForCausalLM", 5), ("AutoModel", 6)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "from transformers import AutoModelForVision2Seq",
            {"transformers.AutoModelForVision2Seq": "AutoModelForImageTextToText"},
        ),
        (
            "import transformers as t\nx = t.AutoModelForVision2Seq",
            {"transformers.AutoModelForVision2Seq": "AutoModelForImageTextToText"},
        ),
        ("from transformers.gone import x", {"transformers.gone.x": None}),
        (
            "from transformers import TrainingArguments as T\nT('o', evaluation_strategy='no', eval_strategy='no')",
            {"TrainingArguments(evaluation_strategy=)": "eval_strategy"},
        ),
        (
            "from transformers import TrainingArguments as T\nkw = {'evaluation_strategy': 'no'}\nT('o', **kw)",
            {"TrainingArguments(evaluation_strategy=)": "eval_strategy"},
        ),
        (
            "from transformers import TrainingArguments as T\nkw = dict(evaluation_strategy='no')\nT('o', **kw)",
            {"TrainingArguments(evaluation_strategy=)": "eval_strategy"},
        ),
        (
            "import transformers\ntransformers.Trainer(model=1, tokenizer=2)",
            {"Trainer(tokenizer=)": "processing_class"},
        ),
        (
            "from transformers import Trainer\nclass Mine(Trainer):\n    def step(self): ...\nMine(tokenizer=2)",
            {"Trainer(tokenizer=)": "processing_class"},
        ),
        (
            "from transformers import DynamicCache\nDynamicCache.from_legacy_cache(1)",
            {"transformers.DynamicCache.from_legacy_cache": "DynamicCache(...)"},
        ),
        (
            "def f(tok):\n    tok.batch_encode_plus(['a'])",
            {"PreTrainedTokenizerBase.batch_encode_plus": "tokenizer(texts, ...)"},
        ),
        ("def f(cache):\n    return cache.seen_tokens", {"DynamicCache.seen_tokens": "get_seq_length()"}),
    ],
)
def test_a_name_the_installed_release_lacks_is_reported_with_what_replaces_it(look, code, expected):
    assert absent(look(code)) == expected


@pytest.mark.parametrize(
    "code",
    [
        "from transformers import AutoModel, Trainer, TrainingArguments",
        "try:\n    from transformers import AutoModelForVision2Seq\nexcept ImportError:\n    pass",
        "from transformers import AutoModel\nAutoModel.from_pretrained('x', torch_dtype=1)",
        "from transformers import TrainingArguments as T\nT('o', **settings)\nT('o').to_dict()",
        "class C:\n    def batch_encode_plus(self): ...\nC().batch_encode_plus()",
        "from transformers import Trainer\nclass Mine(Trainer):\n    def __init__(self, tokenizer): ...\nMine(tokenizer=2)",
        "from unheard_of import Thing\nThing(evaluation_strategy=1)",
        "import transformers\ntransformers.__version__",
        "from transformers import DynamicCache\nDynamicCache.__name__, DynamicCache.mro()",
    ],
)
def test_what_works_is_not_reported(look, code):
    assert absent(look(code)) == {}


def test_the_installed_libraries_decide_and_not_a_table(plant, configure, tmp_path):
    plant(
        {
            "mine/parts.py": """
                from transformers import Trainer, TrainingArguments, AutoTokenizer, AutoModel
                def make(config):
                    TrainingArguments(output_dir="o", eval_strategy="no", no_such_field=1)
                    Trainer(model=None, processing_class=None)
                    AutoModel.from_pretrained("x", torch_dtype="auto", trust_remote_code=True)
            """
        }
    )
    config = configure({"subject": {"path": str(tmp_path / "mine"), "trainer": "parts:make"}})
    assert absent(look_at_subject(config, Exports())) == {"TrainingArguments(no_such_field=)": None}


def test_every_file_below_the_subjects_path_that_a_part_imports_is_read(look):
    files = {
        "helpers/__init__.py": "from .inner import thing\n",
        "helpers/inner.py": "from transformers import Gone\nthing = 1\n",
        "beside.py": "f = open('log.txt', 'w')\n",
        "unrelated.py": "from transformers import GoneToo\n",
        "site-packages/lib.py": "from transformers import GoneThree\n",
    }
    seen = look("import beside\nfrom helpers import thing\n", **files)
    assert absent(seen) == {"transformers.Gone": None}
    assert isinstance(seen, Subject)
    assert [site.file for site in seen.files_without_utf8] == ["beside.py"]


def test_images_given_to_a_processor_are_found_under_any_name_it_was_given(look):
    seen = look(
        "from transformers import AutoProcessor\n"
        "def make(config, processor, model):\n"
        "    own = AutoProcessor.from_pretrained('x')\n"
        "    own(images=1)\n"
        "    self.processor(text='a', images=1)\n"
        "    model(images=1)\n"
        "    processor(text='a')\n"
    )
    assert isinstance(seen, Subject)
    assert [site.line for site in seen.image_calls_on_processor] == [4, 5]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("open('log.txt', 'w')", "no encoding"),
        ("open('log.txt')", "no encoding"),
        ("open('log.txt', encoding=None)", "no encoding"),
        ("open('log.txt', 'a', encoding='cp1251')", "legacy code page: cp1251"),
        ("open('log.txt', 'a', -1, 'latin-1')", "legacy code page: latin-1"),
        ("Path('x').open('w')", "no encoding"),
        ("Path('x').read_text()", "no encoding"),
        ("p.write_text('x', encoding='windows-1252')", "legacy code page: windows-1252"),
        ("import logging; logging.FileHandler('x.log')", "no encoding"),
        ("import logging as l; l.basicConfig(filename='x.log')", "no encoding"),
        ("import sys; sys.stdout.reconfigure(encoding='cp866')", "legacy code page: cp866"),
    ],
)
def test_a_text_file_that_is_not_utf8_everywhere_is_listed(look, line, kind):
    seen = look(line)
    assert isinstance(seen, Subject)
    assert [(site.line, site.kind) for site in seen.files_without_utf8] == [(1, kind)]


@pytest.mark.parametrize(
    "line",
    [
        "open('x', 'rb')",
        "open('x', mode)",
        "open('x', 'w', encoding='utf-8')",
        "open('x', **options)",
        "from PIL import Image; Image.open('x')",
        "Image.open(path)",
        "p.read_text(encoding='utf-8')",
        "import logging; logging.basicConfig(level=1)",
        "import logging; logging.FileHandler('x', encoding='utf-8')",
    ],
)
def test_files_with_an_encoding_or_with_bytes_are_not_listed(look, line):
    seen = look(line)
    assert isinstance(seen, Subject)
    assert seen.files_without_utf8 == ()


@pytest.mark.parametrize(
    ("handler", "reported"),
    [
        ("except Exception:\n            continue", True),
        ("except:\n            pass", True),
        ("except (ValueError, Exception) as e:\n            print(e)", True),
        ("except Exception as e:\n            log(e)\n            continue", True),
        ("except Exception:\n            raise ValueError(row)", False),
        ("except KeyError:\n            continue", False),
        ("except Exception:\n            out.append(blank)\n            count = 1", False),
    ],
)
def test_an_exception_swallowed_while_collating_rows_is_listed(look, handler, reported):
    code = f"def make(config):\n    for row in rows:\n        try:\n            use(row)\n        {handler}\n"
    seen = look(code)
    assert isinstance(seen, Subject)
    assert bool(seen.swallowed_exceptions) is reported
    elsewhere = look(code, part="trainer")
    assert isinstance(elsewhere, Subject)
    assert elsewhere.swallowed_exceptions == ()


def test_a_part_is_found_without_importing_it(look):
    assert isinstance(look("raise SystemExit('this module must not run')"), Subject)
    assert "parts" not in sys.modules


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print 'python 2'\ndef make(config): ...", "parts.py:1"),
        (b"\xff\xfe\x00", "parts.py"),
        (b"def make(c): return 1\0", "parts.py"),
        ("x = " + "(" * 3000 + "\ndef make(c): ...", "parts.py"),
        ("def male(config): ...\ndef xmake(): ...", None),
    ],
)
def test_a_part_that_cannot_be_read_is_unknown_with_its_place(look, code, words):
    seen = look(code) if words else look(code, function="make_it")
    if words:
        assert isinstance(seen, Unknown)
        assert seen.reason.startswith("subject.collator: ")
        assert words in seen.reason


def test_a_module_or_a_function_that_is_not_there_is_unknown_with_the_nearest_name(plant, configure, exports):
    root = plant({"parts.py": "def make_collator(config): ...\n"})

    def look_for(target: str) -> str:
        seen = look_at_subject(configure({"subject": {"path": str(root), "collator": target}}), exports)
        assert isinstance(seen, Unknown)
        return seen.reason

    assert "no module elsewhere" in look_for("elsewhere:make")
    assert "did you mean make_collator" in look_for("parts:make_colator")


def test_a_trainer_that_may_move_its_batch_by_itself_is_noted_with_the_line_and_a_collator_is_not(look):
    code = "def make(*given):\n    return lambda inputs: {k: v.to('cuda') for k, v in inputs.items()}\n"
    assert [site.line for site in look(code, part="trainer").training_moves] == [2]
    assert look(code).training_moves == ()


def test_what_an_installed_program_generates_is_not_the_users_call(look, monkeypatch, tmp_path):
    code = "def make(config):\n    config.tokenizer.padding_side = 'left'\n    return config.model.generate(1)\n"
    mine = look(code)
    assert len(mine.generate_calls) == len(mine.left_padding) == 1
    monkeypatch.setattr("preflight_ocr.probes.reading.subject.find_installed_places", lambda: (str(tmp_path),))
    installed = look(code)
    assert (installed.generate_calls, installed.left_padding) == ((), ())
