from preflight_ocr.harness.facts import InstalledCard, KeyFact
from tests.specimens import HEALTHY, altered
from tests.specimens.unavailable_attention import HEALTHY as FLASH
from tests.specimens.unavailable_attention import SICK


def test_sdpa_is_reported_where_the_code_declares_only_others(findings_of):
    [finding] = findings_of("unavailable_attention", SICK)
    assert "declares only eager, flash_attention_2" in finding.summary
    assert "attn_implementation: eager" in finding.fix.snippet


def test_flash_attention_without_its_package_in_float32_on_a_cpu_is_one_finding(findings_of):
    [finding] = findings_of(
        "unavailable_attention", altered(HEALTHY, {"configuration.attn_implementation": "flash_attention_2"})
    )
    assert len(finding.evidence) == 3
    assert "flash_attn is not installed" in finding.evidence[0]


def test_an_old_card_is_reported_with_its_capability(findings_of):
    card = InstalledCard(name="Tesla T4", capability="7.5", memory_bytes=15 << 30)
    [finding] = findings_of("unavailable_attention", altered(FLASH, {"environment.cards": (card,)}))
    assert "Tesla T4 has capability 7.5" in finding.summary


def test_a_machine_without_cards_says_nothing_against_flash_attention(findings_of):
    assert findings_of("unavailable_attention", altered(FLASH, {"environment.cards": ()})) == ()


def test_a_loader_of_ones_own_is_held_to_the_key_that_it_reads(findings_of):
    own = {"configuration.replaced_parts": ("model",)}
    assert len(findings_of("unavailable_attention", altered(SICK, own))) == 1
    ignored = {
        **own,
        "configuration.ineffective_keys": (KeyFact(path="model.attn_implementation", nearest=None, detail=""),),
    }
    assert findings_of("unavailable_attention", altered(SICK, ignored)) == ()
