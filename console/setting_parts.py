"""What settings are made of: types of values, the tables of the settings file, what capabilities add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode

from crypto_core.database.connection.urls import masked_url
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenTable
from crypto_core.envelope import TOKENS_OF, require_envelope_format
from crypto_core.envelope.encryption_context import require_binding
from crypto_core.providers.endpoints import base_url
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.key_names import parse_key_name
from screens.own_column import OwnColumn
from screens.user_command import UserCommand, checked_template

T = TypeVar("T")
Colour = Literal["", "red", "amber", "green", "blue", "magenta"]
ListName = Literal["connections", "keys", "events", "findings", "incidents", "jobs"]
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


def _parts(value: Any) -> Any:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]


def checked_by(check: Callable[[T], T]) -> AfterValidator:
    """Return what takes a setting that `check` takes, or that is not there."""

    def checked(value: T | None) -> T | None:
        try:
            return None if value is None else check(value)
        except SettingsError as error:
            raise ValueError(f"{error.message} {error.remedy}".rstrip()) from None

    return AfterValidator(checked)


def _key_names(names: Any) -> Any:
    for name in [names] if isinstance(names, str) else names:
        parse_key_name(name)
    return names


def _ends(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    keys = [part.partition(" until ") for part in _parts(value)]
    if not all(until.strip() for _, _, until in keys):
        raise ValueError("not all are written as: KEY until 2026-11-28T12:00:00Z")
    return {key.strip(): until.strip() for key, _, until in keys}


KeyName = Annotated[str | None, checked_by(_key_names)]
KeyEnds = Annotated[dict[str, AwareDatetime], NoDecode, BeforeValidator(_ends), checked_by(_key_names)]
KeyNames = Annotated[Names, checked_by(_key_names)]
EnvelopeFormat = Annotated[str, checked_by(require_envelope_format)]
Binding = Annotated[str | None, checked_by(require_binding)]
BaseUrl = Annotated[str, checked_by(lambda url: base_url(url) if url else url)]
OF_OWN_URLS = ("github", "slack", "atlassian")
"""Providers whose base URL is a setting of its own."""


def _further(urls: dict[str, str]) -> dict[str, str]:
    for name in urls:
        if (own := TOKENS_OF.get(name)) in OF_OWN_URLS:
            raise SettingsError(f"{name} has a setting of its own: {own}_url.")
    return urls


ProviderUrls = Annotated[dict[str, BaseUrl], checked_by(_further)]


class AddedSettings(BaseModel, frozen=True):
    """The settings of a capability, which its manifest names; all settings have them where it is installed.

    Only what nothing else reads, and protects nothing, stands there.
    """

    after: ClassVar[Mapping[str, str]]
    """The setting after which each is listed."""

    @classmethod
    def of(cls, settings: BaseSettings) -> Self:
        """Return the settings, typed as these."""
        if not isinstance(settings, cls):
            raise TypeError(f"{cls.__name__} is no part of the settings")
        return settings


class DatabaseSettings(BaseModel, extra="forbid", frozen=True):
    """A database that the console can switch to, and how it is marked. In the file its URL alone will do."""

    url: str = Field(repr=False)
    environment: str = Field("", max_length=20, description="a word for the header; by default its name")
    environment_colour: Colour = ""
    binding: Binding = None

    @model_validator(mode="before")
    @classmethod
    def _url_alone(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return masked_url(self.url)


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

    def __str__(self) -> str:
        where = self.database or masked_url(self.database_url)
        return f"{where} by {self.profile}" if self.profile else where


class TableSettings(BaseModel, extra="forbid", frozen=True):
    """A table with tokens besides the platform's six."""

    name: str = Field(pattern=r"^[A-Za-z_]\w*$")
    place: str | None = Field(
        None, alias="schema", min_length=1, description="schema of the table, or a pattern such as tenant_*"
    )
    id: str | tuple[str, ...] = Field(
        "id", min_length=1, description="column that identifies a row, or several that do together"
    )
    id_kind: Literal["text", "integer", "uuid"] = "text"
    token_columns: tuple[Annotated[str, Field(pattern=r"^[^.]+$")], ...] = Field(min_length=1)
    shown: tuple[str, ...] = ()
    provider: str = "other"
    organisation: str | None = None
    documents: tuple[str, ...] = Field(
        (), description="token columns whose values are JSON objects of tokens"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_built_in(cls, value: Any) -> Any:
        """A built-in table in another place needs only its name and its schema."""
        if not isinstance(value, dict) or not value.get("schema") or "token_columns" in value:
            return value
        built_in = next((t for t in PLATFORM_TABLES if t.name == value.get("name")), None)
        return value if built_in is None else _described(built_in) | value

    @model_validator(mode="after")
    def _documents_are_token_columns(self) -> Self:
        if others := [name for name in self.documents if name not in self.token_columns]:
            raise ValueError(f"documents of {self.name}: {others[0]} is none of its token_columns")
        return self

    def table(self) -> TokenTable:
        return TokenTable(
            name=self.name,
            id_column=self.id if isinstance(self.id, str) or len(self.id) > 1 else self.id[0],
            id_kind="integer" if self.id_kind == "integer" else "text",
            token_columns=self.token_columns,
            shown=self.shown,
            provider=self.provider,
            organisation=self.organisation,
            documents=frozenset(self.documents),
            schema=self.place,
        )


def _described(table: TokenTable) -> dict[str, Any]:
    alike = ("id_kind", "token_columns", "shown", "provider", "organisation")
    found = {name: getattr(table, name) for name in alike}
    return found | {"id": table.id_column, "documents": tuple(table.documents)}


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
