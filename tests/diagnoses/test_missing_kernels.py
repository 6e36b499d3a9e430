import pytest

from preflight_ocr.harness.facts import Device
from tests.specimens import HEALTHY, altered
from tests.specimens.missing_kernels import SICK


def test_a_card_newer_than_every_kernel_is_reported_with_both_sides(findings_of):
    [finding] = findings_of("missing_kernels", SICK)
    assert finding.evidence == ("capability: 12.0", "torch was built for: sm_80, sm_86, sm_90")


@pytest.mark.parametrize("built", ["sm_120", "compute_90", "sm_120a"])
def test_a_kernel_or_ptx_that_fits_the_card_is_silent(findings_of, built):
    device = Device(name="RTX 5090", capability="12.0", arch_list=("sm_80", built), refused=None)
    assert findings_of("missing_kernels", altered(HEALTHY, {"device": device})) == ()


def test_architecture_specific_code_of_another_generation_does_not_fit(findings_of):
    device = Device(name="RTX 5090", capability="12.0", arch_list=("sm_90a", "compute_90a"), refused=None)
    assert len(findings_of("missing_kernels", altered(HEALTHY, {"device": device}))) == 1


def test_the_names_of_another_vendors_chips_say_nothing(findings_of):
    device = Device(name="MI300X", capability="9.4", arch_list=("gfx942",), refused=None)
    assert findings_of("missing_kernels", altered(HEALTHY, {"device": device})) == ()
