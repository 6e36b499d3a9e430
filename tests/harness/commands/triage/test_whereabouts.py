"""What a traceback says of its place, whether its message is known or not."""

from __future__ import annotations

import io

from preflight_ocr.harness.commands.triage import diagnose
from preflight_ocr.harness.diagnoses import find
from preflight_ocr.reports.triage.terminal import render

LIBRARY = "/opt/lib/python3.11/site-packages"


def read(*frames: tuple[str, str, str], ended: str):
    lines = [f'  File "{file}", line 7, in {function}\n    {code}' for file, function, code in frames]
    text = "\n".join(["Traceback (most recent call last):", *lines, ended, ""])
    return diagnose(io.BytesIO(text.encode()))


def test_a_known_message_comes_with_the_last_line_of_the_users_own_code():
    answer = read(
        ("/home/me/train.py", "<module>", "trainer.train()"),
        ("/home/me/collate.py", "join", "return processor(text=texts, images=pages)"),
        (f"{LIBRARY}/transformers/models/idefics3/processing_idefics3.py", "__call__", "raise ValueError("),
        ended="ValueError: The number of images in the text [0] and images  [1] should be the same.",
    )
    assert answer.recognised[0].place == "/home/me/collate.py:7 in join: return processor(text=texts, images=pages)"
    assert "at /home/me/collate.py:7 in join" in render(answer)


def test_an_unknown_message_names_the_library_function_its_argument_and_what_looks_there():
    answer = read(
        ("/home/me/train.py", "<module>", "out = model(**batch)"),
        (f"{LIBRARY}/transformers/models/newest/modeling_newest.py", "forward", "hidden = self.eye(pixel_values)"),
        (f"{LIBRARY}/torch/nn/functional.py", "fold_pages", "return torch._C.fold_pages(input)"),
        ended="RuntimeError: fold_pages wants another number of pages",
    )
    (stranger,) = answer.unrecognised
    assert answer.recognised == ()
    assert stranger.place == "/home/me/train.py:7 in <module>: out = model(**batch)"
    assert stranger.raised_by == "torch.nn.functional.fold_pages"
    assert stranger.argument == "pixel_values"
    assert stranger.contracts and all(find(code) for code in stranger.contracts)
    assert {code[:3] for code in stranger.contracts} == {"FWD", "COL", "DTY", "DEV"}
    assert "--only FWD001," in render(answer, width=10_000)


def test_an_argument_that_the_message_quotes_is_the_one():
    answer = read(
        ("/home/me/train.py", "<module>", "trainer.train(labels)"),
        (f"{LIBRARY}/transformers/trainer.py", "train", "raise TypeError(labels)"),
        ended="TypeError: something about `attention_mask` and labels",
    )
    assert answer.unrecognised[0].argument == "attention_mask"


def test_the_stage_is_the_innermost_that_is_known():
    collated = (f"{LIBRARY}/torch/utils/data/_utils/fetch.py", "fetch", "return self.collate_fn(data)")
    answer = read(collated, (f"{LIBRARY}/PIL/Image.py", "open", "raise Broken(fp)"), ended="PIL.Broken: no page")
    assert {code[:3] for code in answer.unrecognised[0].contracts} == {"DAT"}


def test_a_message_without_a_traceback_has_no_place():
    (stranger,) = diagnose(io.BytesIO(b"RuntimeError: nobody knows this\n")).unrecognised
    assert (stranger.place, stranger.raised_by, stranger.contracts) == ("", "", ())
    assert "looks at the whole set-up" in render(diagnose(io.BytesIO(b"RuntimeError: nobody knows this\n")))


def test_the_standard_library_of_windows_is_a_librarys_and_a_notebooks_cell_is_the_users():
    answer = read(
        ("<ipython-input-3-5e1f>", "<module>", "rows = json.load(file)"),
        (r"C:\Users\me\Programs\Python\Python311\Lib\json\decoder.py", "raw_decode", "raise Broken(s)"),
        ended="Broken: no rows",
    )
    assert answer.unrecognised[0].place.startswith("<ipython-input-3-5e1f>:7")
    assert answer.unrecognised[0].raised_by == "json.decoder.raw_decode"


def test_a_path_of_windows_is_read_as_well():
    answer = read(
        (r"C:\me\train.py", "<module>", "run()"),
        (r"C:\py\Lib\site-packages\peft\tuners\lora\layer.py", "update_layer", "raise ValueError(r)"),
        ended="ValueError: `r` should be positive",
    )
    assert answer.unrecognised[0].place == r"C:\me\train.py:7 in <module>: run()"
    assert answer.unrecognised[0].raised_by == "peft.tuners.lora.layer.update_layer"
    assert {code[:3] for code in answer.unrecognised[0].contracts} == {"LRA", "SAV"}
