from preflight_ocr.harness.facts import KeyFact
from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import HEALTHY, altered
from tests.specimens.ineffective_key import SICK


def test_a_key_without_effect_is_reported_with_the_reason(findings_of):
    [finding] = findings_of("ineffective_key", SICK)
    assert finding.severity is Severity.MAJOR
    assert finding.evidence == ("`data.preprocessing.resize`: the model's tiling and padding decide the size",)


def test_ranges_kept_beside_a_switched_off_augmentation_are_only_a_note(findings_of):
    keys = (
        KeyFact(
            path="data.augmentation.rotation_range", detail="`data.augmentation.enabled` is not true", nearest=None
        ),
    )
    [finding] = findings_of("ineffective_key", altered(HEALTHY, {"configuration.ineffective_keys": keys}))
    assert finding.severity is Severity.NOTE


def test_an_augmentation_that_the_users_own_collator_never_reads_is_major(findings_of):
    changes = {
        "configuration.replaced_parts": ("collator",),
        "configuration.ineffective_keys": (
            KeyFact(path="data.augmentation.enabled", detail="`subject.collator` replaces", nearest=None),
        ),
    }
    [finding] = findings_of("ineffective_key", altered(HEALTHY, changes))
    assert finding.severity is Severity.MAJOR
