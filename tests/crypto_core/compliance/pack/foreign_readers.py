"""What others read a pack's documents with. Imported where they are asked: both take their time."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any


def read_results(path: Path) -> Any:
    """Return OSCAL assessment results as compliance-trestle reads them. Raises where they are none."""
    from trestle.oscal.assessment_results import AssessmentResults

    found = AssessmentResults.oscal_read(path)
    assert found is not None
    return found


def bill_trouble(text: str) -> object:
    """Return what is wrong with a bill of materials by CycloneDX 1.6, strict, None if nothing."""
    return _validator().validate_str(text)


@cache
def _validator() -> Any:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6)
