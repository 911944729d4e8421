"""Settings of commands of the team's own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, field_validator

from crypto_core.text.cleaning import clean
from screens.user_command import UserCommand, checked_template


class UserCommandSettings(BaseModel, extra="forbid", frozen=True):
    """A command of the team's own, on lists of the console."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="what is typed behind :own")
    title: str = Field(min_length=1, max_length=80)
    key: str = Field("", max_length=20, description="a key that runs it at once")
    on: tuple[Literal["connections", "keys", "events", "findings", "incidents", "jobs"], ...] = Field(
        min_length=1, description="the lists that offer it"
    )
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
        """The command as the console knows it."""
        return UserCommand(
            clean(self.name),
            clean(self.title),
            self.run,
            self.on,
            self.key,
            looks=not self.changes,
            seconds=self.seconds,
        )
