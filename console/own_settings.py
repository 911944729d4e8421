"""Settings of what is the team's own on the console's lists: commands and columns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from crypto_core.text.clean_text import clean
from screens.own_column import OwnColumn
from screens.user_command import UserCommand, checked_template

ListName = Literal["connections", "keys", "events", "findings", "incidents", "jobs"]


class UserCommandSettings(BaseModel, extra="forbid", frozen=True):
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="what is typed behind :own")
    title: str = Field(min_length=1, max_length=80)
    key: str = Field("", max_length=20, description="a key that runs it at once")
    on: tuple[ListName, ...] = Field(min_length=1, description="the lists that offer it")
    run: tuple[str, ...] = Field(
        min_length=1, max_length=100, description="program and arguments; {name} is a field of the row"
    )
    changes: bool = Field(True, description="false for one that only looks: not asked about")
    seconds: float = Field(60.0, gt=0, le=3600, description="how long it may take")

    @field_validator("run")
    @classmethod
    def _are_templates(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "{" in value[0]:
            raise ValueError("the program is no field of a row")
        if any("\0" in part for part in value):
            raise ValueError("an argument has a NUL character")
        return tuple(map(checked_template, value))

    def command(self) -> UserCommand:
        return UserCommand(
            clean(self.name),
            clean(self.title),
            self.run,
            self.on,
            self.key,
            looks=not self.changes,
            seconds=self.seconds,
        )


class ColumnSettings(BaseModel, extra="forbid", frozen=True):
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="what :columns calls it, behind own-")
    heading: str = Field("", max_length=40, description="what stands above it; its name where nothing does")
    on: tuple[ListName, ...] = Field(min_length=1, description="the lists that have it")
    path: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1, description="names from the row to the value: shown.metadata.team"
    )

    @field_validator("path", mode="before")
    @classmethod
    def _of_one_text(cls, value: Any) -> Any:
        return tuple(value.split(".")) if isinstance(value, str) else value

    def column(self) -> OwnColumn:
        return OwnColumn(clean(f"own-{self.name}"), clean(self.heading or self.name), self.on, self.path)
