from __future__ import annotations

import re

import pytest

from docs import generate
from docs.render import catalogue as pages
from docs.render import measurements, reference, tables
from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.config.keys import EFFECTS
from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Facts


def test_the_committed_documents_are_current():
    outdated = [path.name for path in generate.find_outdated()]
    assert not outdated, "run python -m docs.generate and commit what it writes"


def test_every_finding_links_to_an_anchor_that_exists():
    anchors = set(re.findall(r'<a id="(\w+)"></a>', pages.render_diagnoses()))
    for module in catalogue():
        docs = module.DIAGNOSIS.finding("seen", fix="fix").docs
        assert docs == f"docs/diagnoses.md#{module.DIAGNOSIS.code.lower()}"
        assert docs.partition("#")[2] in anchors


def test_a_comment_in_a_code_block_is_no_heading():
    lines = ["## Example", "```python", "# a comment", "```", "## Use instead"]
    demoted = list(pages.demote_headings(lines))
    assert demoted == ["### Example", "```python", "# a comment", "```", "### Use instead"]


def test_blocks_are_filled_and_the_rest_is_left_alone():
    text = "before\n<!-- generated: exit-codes -->\nold\n<!-- end generated -->\nafter\n"
    filled = generate.fill_blocks(text)
    assert filled.startswith("before\n<!-- generated: exit-codes -->\n| code | meaning |")
    assert filled.endswith("<!-- end generated -->\nafter\n")
    assert "old" not in filled
    assert generate.fill_blocks(filled) == filled


def test_a_block_nobody_generates_is_an_error():
    with pytest.raises(ValueError, match="known are headline"):
        generate.fill_blocks("<!-- generated: nonsense -->\n<!-- end generated -->")


def test_a_block_on_any_page_is_found(tmp_path):
    page = tmp_path / "docs" / "how-to" / "new.md"
    page.parent.mkdir(parents=True)
    page.write_text("<!-- generated: exit-codes -->\nold\n<!-- end generated -->\n", encoding="utf-8")
    assert page in generate.find_outdated(tmp_path)


def test_a_cell_cannot_break_its_table():
    assert tables.join_cells("a|b", "c\nd") == r"| a\|b | c d |"
    assert tables.join_cells("**kwargs <b>", "`training.*`") == r"| \*\*kwargs &lt;b> | `training.*` |"


def test_a_bar_in_code_is_a_bar_for_every_renderer():
    # In code, Python-Markdown shows the backslash of an escaped bar, and GitHub ends the cell at the bar of `a | b`.
    cells = "`str | None` or `<|pad|>`", "`a`|b"
    assert tables.join_cells(*cells) == (
        r"| <code>str &#124; None</code> or <code>&lt;&#124;pad&#124;&gt;</code> | `a`\|b |"
    )


def test_every_command_and_every_option_is_documented():
    page = reference.render_commands()
    for name, command in preflight.commands.items():
        section = page.partition(f"\n## preflight {name}\n")[2].partition("\n## ")[0]
        assert section, f"preflight {name} is not on the page"
        for option in command.params:
            is_unseen = option.param_type_name == "argument" or getattr(option, "hidden", False)
            assert is_unseen or all(word in section for word in option.opts)
    for name in ("--preflight-config", "--preflight-level", "--preflight-trust"):
        assert name in page.partition("\n## pytest\n")[2]


def test_every_key_is_documented_with_the_default_that_the_code_has():
    rows = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|", pages.render_keys(), re.MULTILINE))
    assert set(rows) >= set(EFFECTS)
    assert rows["lora.r"] == "`8`"
    assert rows["model.base_model"] == "required"
    assert rows["data.cache_gb"] == "`20.0`"
    assert rows["early_stopping.patience"] == "required"


def test_every_section_of_the_facts_is_documented():
    page = reference.render_facts()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(Facts.__struct_fields__)
    assert "| `python` | `str` |" in page


def test_no_page_depends_on_the_process_that_wrote_it():
    for page in (reference.render_functions(), reference.render_commands(), reference.render_facts()):
        assert not re.search(r"0x[0-9a-f]{6}", page)


def test_the_short_finding_keeps_every_cause_its_fix_and_what_was_not_looked_at():
    whole, short = measurements.render_finding(), measurements.render_short_finding()
    causes = re.findall(r"^[A-Z]+ [A-Z]{3}\d{3} \w+", whole, re.MULTILINE)
    assert len(causes) == 5
    assert re.findall(r"^[A-Z]+ [A-Z]{3}\d{3} \w+", short, re.MULTILINE) == causes
    assert short.count("  Fix: ") == len(causes)
    assert "SKIPPED" in short
    assert len(short) < len(whole) / 1.5


def test_the_headline_counts_what_the_results_hold():
    run = measurements.read_results()
    line = measurements.render_headline()
    assert f"{sum(trial.is_exact for trial in run.planted)} of {len(run.planted)} named" in line
    assert f"of {len(run.healthy)} with a finding that is false" in line
