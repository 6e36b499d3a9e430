import pytest

from preflight_ocr.probes.reading.source import read_source
from preflight_ocr.probes.reading.statements import find_entries


@pytest.fixture
def entries(tmp_path):
    def read(text):
        path = tmp_path / "own.py"
        path.write_text(text, encoding="utf-8")
        found = find_entries([read_source(path, "own.py")])
        return {key: [site.line for site in sites] for key, sites in found.items()}

    return read


def test_an_entry_that_is_written_out_is_made_where_its_value_stands(entries):
    assert entries("def collate(rows):\n    return {\n        'mask': ones(1),\n    }\n") == {"mask": [3]}


def test_an_entry_that_is_a_variable_is_made_where_the_variable_is_the_last_first(entries):
    text = "def collate(rows):\n    labels = ids.clone()\n    labels[ids == 2] = -100\n    return {'labels': labels}\n"
    assert entries(text) == {"labels": [3, 2]}


def test_an_entry_that_is_assigned_to_the_batch_is_found(entries):
    assert entries("def collate(rows):\n    batch['mask'] = ones(1)\n    return batch\n") == {"mask": [2]}


def test_a_list_is_made_where_it_is_filled(entries):
    text = (
        "def collate(rows):\n    ids, pages = [], []\n    for row in rows:\n        pages.append(row)\n"
        "    return {'images': pages}\n"
    )
    assert entries(text) == {"images": [4, 2]}


def test_a_variable_of_another_function_does_not_count(entries):
    text = "def other():\n    labels = 1\n\n\ndef collate(labels):\n    return {'labels': labels}\n"
    assert entries(text) == {"labels": [6]}


def test_only_some_statements_are_told(entries):
    lines = "".join(f"    labels[{n}] = 0\n" for n in range(9))
    assert entries(f"def collate(rows):\n{lines}    return {{'labels': labels}}\n") == {"labels": [10, 9, 8]}


def test_a_keyword_of_dict_and_of_update_is_an_entry(entries):
    text = "def collate(rows):\n    batch = dict(mask=ones(1))\n    batch.update(labels=ids)\n    return batch\n"
    assert entries(text) == {"labels": [3], "mask": [2]}
