"""Settings of an estate: what is another than elsewhere in the settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

Colour = Literal["", "red", "amber", "green", "blue", "magenta"]


class EstateSettings(BaseModel, extra="forbid", frozen=True):
    """A database, the AWS account that its keys are in, and how both are marked. What is not given stays."""

    database: str = Field("", description="a name below [databases]; or give database_url")
    database_url: str = Field("", repr=False)
    state_url: str = Field("", repr=False)
    profile: str = ""
    regions: tuple[str, ...] = ()
    write_key: str = ""
    trusted_keys: tuple[str, ...] = ()
    environment: str = Field("", max_length=20, description="a word for the header; by default its name")
    environment_colour: Colour = ""
    events_file: str = Field("", description="where its CloudTrail events are kept")

    @model_validator(mode="before")
    @classmethod
    def _has_one_database(cls, value: Any) -> Any:
        if isinstance(value, dict) and bool(value.get("database")) == bool(value.get("database_url")):
            raise ValueError("give either database or database_url")
        return value
