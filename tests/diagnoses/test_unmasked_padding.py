from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unmasked_padding import SICK


def test_padding_with_labels_is_counted(findings_of):
    [finding] = findings_of("unmasked_padding", SICK)
    assert finding.evidence == ("row 1: 4 padding tokens trained on",)


def test_a_pad_that_is_the_eos_of_its_row_is_silent(findings_of):
    changes = {
        "collator.batch.rows.0.roles": "biiiiiiippppttttttt.",
        "collator.batch.rows.0.trained": "0" * 12 + "1" * 8,
    }
    assert findings_of("unmasked_padding", altered(RUN, changes)) == ()
