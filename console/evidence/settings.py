"""The settings of evidence."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from console.setting_parts import AddedSettings
from crypto_core.proof.forms import LEAST_DAYS


class EvidenceSettings(AddedSettings):
    after: ClassVar = {"controls": "runbooks", "review_days": "drill_days", "evidence_days": "review_days"}

    controls: str = Field("", validation_alias="KEYDECK_CONTROLS", max_length=4096)
    """A file, or a folder of `*.toml`, with controls of the team's own, owners and exceptions, beside the
    built-in controls; empty for none.
    """

    review_days: int = Field(90, validation_alias="KEYDECK_REVIEW_DAYS", ge=0, le=3_650)
    """How old the last review of who may use the keys may be, in days; 0 is for ever."""

    evidence_days: int = Field(0, validation_alias="KEYDECK_EVIDENCE_DAYS", ge=0, le=36_500)
    """How long the documents of records of evidence are kept, in days: 400 at least, 0 is for ever. Digests
    and signatures stay.
    """

    @field_validator("evidence_days")
    @classmethod
    def _lasts_an_audit(cls, value: int) -> int:
        if 0 < value < LEAST_DAYS:
            raise ValueError(f"fewer than {LEAST_DAYS} days; 0 keeps them for ever")
        return value
