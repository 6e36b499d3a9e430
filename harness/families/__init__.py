"""The model families our own training path knows. Probes work without them; the collator builder needs one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from preflight_ocr.harness.families import deepseek_ocr, dots_ocr, native
from preflight_ocr.harness.families.family import Family, FamilyError, Intake, Opening, Packing, Prepared, Role

FAMILIES: Mapping[str, Family] = {
    family.name: family for family in (deepseek_ocr.FAMILY, dots_ocr.FAMILY, *native.FAMILIES)
}

__all__ = ["FAMILIES", "Family", "FamilyError", "Intake", "Opening", "Packing", "Prepared", "Role", "find_family"]


def find_family(parameter_names: Collection[str], config_json: Mapping[str, Any]) -> Family | None:
    """The family whose forward takes these parameters, or None when no declared family does."""
    names = frozenset(parameter_names)
    return next((family for family in FAMILIES.values() if family.recognises(names, config_json)), None)
