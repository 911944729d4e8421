"""Settings of an estate: what is another than elsewhere in the settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, model_validator

Colour = Literal["", "red", "amber", "green", "blue", "magenta"]


class EstateSettings(BaseModel, extra="forbid", frozen=True):
    """A database, the AWS account that its keys are in, and how both are marked."""

    database: str = Field("", description="a name below [databases]; or give database_url")
    database_url: str = Field("", repr=False)
    state_url: str = Field("", repr=False)
    profile: str = ""
    regions: tuple[str, ...] = ()
    binding: str = ""
    write_key: str = ""
    write_alias: str = ""
    trusted_keys: tuple[str, ...] = ()
    retired_keys: tuple[str, ...] = ()
    administrators: tuple[str, ...] = ()
    trusted_accounts: tuple[str, ...] = ()
    signing_key: tuple[str, ...] = ()
    former_signing_keys: dict[str, AwareDatetime] = Field({}, description="keys, and when each ended")
    approvals_key: str = ""
    agreed_code: tuple[str, ...] = ()
    anchor_file: str = ""
    anchor_bucket: str = ""
    athena_table: str = ""
    athena_output: str = ""
    athena_workgroup: str = ""
    receipts: str = ""
    receipts_complete_since: AwareDatetime | None = None
    environment: str = Field("", max_length=20, description="a word for the header; by default its name")
    environment_colour: Colour = ""
    events_file: str = Field("", description="where its events are kept; by default a file by its name")

    @model_validator(mode="before")
    @classmethod
    def _has_one_database(cls, value: Any) -> Any:
        if isinstance(value, dict) and bool(value.get("database")) == bool(value.get("database_url")):
            raise ValueError("give either database or database_url")
        return value
