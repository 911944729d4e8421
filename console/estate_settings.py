"""Settings of an estate: what is another than elsewhere in the settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from crypto_core.text.clean_text import clean

Colour = Literal["", "red", "amber", "green", "blue", "magenta"]
OF_A_DATABASE = frozenset(
    {"database_url", "state_url", "binding", "anchor_file", "anchor_bucket", "agreed_code"}
)
"""Settings that are about one database: another one has its own, or none."""
OF_AN_ENVIRONMENT = frozenset(
    {
        *("environment", "environment_colour", "write_key", "write_alias"),
        *("trusted_keys", "retired_keys", "administrators", "trusted_accounts", "signing_key"),
        *("former_signing_keys", "events_file", "athena_table", "athena_output", "athena_workgroup"),
        *("receipts", "receipts_complete_since", "approvals_key"),
    }
)
"""Settings about trust, signing and events: an estate with a database_url inherits none of them."""


class EstateSettings(BaseModel, extra="allow", frozen=True):
    """A database, the AWS account that its keys are in, and how both are marked; "" inherits.

    `console.settings.changed` validates the rest, as the settings of the same names.
    """

    database: str = Field("", description="a name below [databases]; or give database_url")
    database_url: str = Field("", repr=False)
    state_url: str = Field("", repr=False)
    profile: str = ""

    @model_validator(mode="before")
    @classmethod
    def _has_one_database(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = OF_A_DATABASE | OF_AN_ENVIRONMENT | {"database", "profile", "regions"}
            if unknown := sorted(set(value) - known):
                raise ValueError(f"{clean(unknown[0], 60)!r} is not a setting of an estate")
            if bool(value.get("database")) == bool(value.get("database_url")):
                raise ValueError("give either database or database_url")
        return value

    def given(self) -> dict[str, Any]:
        """The settings that are others here, unvalidated."""
        return {name: value for name, value in self if value and name != "database"}
