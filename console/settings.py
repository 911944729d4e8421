"""Settings from a TOML file, the environment and options; the later one wins, and each knows its origin."""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SettingsSourceError

from console.capabilities import OWN_TOOLS, manifests, not_installed, placed
from console.own_folders import FILE_VARIABLE, settings_file
from console.setting_parts import (
    OF_OWN_URLS,
    AddedSettings,
    BaseUrl,
    Binding,
    Colour,
    ColumnSettings,
    DatabaseSettings,
    EnvelopeFormat,
    EstateSettings,
    KeyEnds,
    KeyName,
    KeyNames,
    Names,
    ProviderUrls,
    TableSettings,
    UserCommandSettings,
    checked_by,
)
from crypto_core.aws.receipts.destination import require_destination
from crypto_core.database.connection.urls import left_out, masked_url
from crypto_core.database.tokens.tables import PLATFORM_TABLES, TokenTable
from crypto_core.envelope import DEV_KEY, Format, at_least, bound_format
from crypto_core.guard.approvals import ACTIONS, DEFAULT_MINUTES
from crypto_core.keys.posture.limits import Limits
from crypto_core.lists.toml_fields import SIZE_LIMIT, read_toml
from crypto_core.providers.endpoints import GITHUB, SLACK, Endpoints
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.key_names import is_key_arn
from crypto_core.values.typed_names import meant


def database_remedy() -> str:
    """Return what to do where no database is configured."""
    trying = "" if not_installed("demo") else " To try Keydeck: keydeck demo."
    return f"Set DATABASE_URL, or database_url in the settings file.{trying}"


class CoreSettings(BaseSettings):
    """The core's settings. The environment names are the platform's where the platform has one."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: str | None = Field(None, validation_alias="DATABASE_URL", repr=False)
    """The database with the tokens: `postgresql://user:password@host:5432/database`, or the app's own URL."""

    write_key: KeyName = Field(None, validation_alias="TOKEN_ENCRYPTION_KEY_ID")
    """The KMS key that the platform and Keydeck write under."""

    trusted_keys: KeyNames = Field((), validation_alias="KEYDECK_TRUSTED_KEYS")
    """Further KMS keys that may be read with, separated by commas."""

    regions: Names = Field((), validation_alias="KEYDECK_REGIONS")
    """AWS Regions whose keys are shown, and that attribution asks in turn, the default first; empty means
    boto3's own.
    """

    profile: str | None = Field(None, validation_alias="AWS_PROFILE")
    """The AWS profile; it comes before credentials in the environment. For a role with `mfa_serial` the
    console asks for the code in a dialog, a command on its terminal; the role's credentials are kept in
    memory alone. Empty means that boto3 looks for credentials itself.
    """

    state_url: str | None = Field(None, validation_alias="KEYDECK_STATE_URL", repr=False)
    """Another database for the journal; by default it is in the same one, in schema `keydeck`."""

    binding: Binding = Field(None, validation_alias="KEYDECK_BINDING")
    """The name of the tenant or database that new v2 envelopes are bound to as well, and that v2-bound ones
    open with: 1 to 64 printable ASCII characters.
    """

    write_format: EnvelopeFormat = Field("v1", validation_alias="KEYDECK_WRITE_FORMAT")
    """The version of the envelopes that Keydeck writes: `v1`, or `v2` once the platform reads it; with a
    binding, `v2` is written as `v2-bound`.
    """

    least_format: EnvelopeFormat = Field("v1", validation_alias="KEYDECK_LEAST_FORMAT")
    """The oldest version that the platform opens: `v1`, or `v2` once every token is v2, `v2-bound` once every
    token names its database; an older envelope is then a finding of severity high.
    """

    read_only: bool = Field(False, validation_alias="KEYDECK_READ_ONLY")
    """Refuse every change, in the database session and before KMS is called."""

    fips: Literal["", "require"] = Field("", validation_alias="KEYDECK_FIPS")
    """`require` refuses to start unless OpenSSL's FIPS provider is active, in Python and in the cryptography
    package; empty leaves it to the machine.
    """

    receipts: Annotated[str, checked_by(require_destination)] = Field(
        "off", validation_alias="KEYDECK_RECEIPTS", max_length=4096
    )
    """Where receipts of KMS calls go, by which CloudTrail's records are told token by token, also for v1:
    `off`, `table` (`keydeck.receipt`), `log` (logger `keydeck.receipts`) or `file:` with an absolute path.
    """

    receipts_complete_since: AwareDatetime | None = Field(
        None, validation_alias="KEYDECK_RECEIPTS_COMPLETE_SINCE"
    )
    """From when on every process that opens tokens, Keydeck included, writes receipts, such as
    `2026-11-29T12:00:00Z`. From then on a decryption under a guarded key without one is a critical finding;
    empty means that not all write them.
    """

    receipts_grace: int = Field(60, validation_alias="KEYDECK_RECEIPTS_GRACE", ge=5, le=10_080)
    """How late a receipt may come, in minutes, before its call counts as one without."""

    browser_user: str = Field("", validation_alias="KEYDECK_BROWSER_USER", max_length=100)
    """Who uses the console in a browser, for the journal; `keydeck serve` sets it for the console that it
    runs.
    """

    dev_key: str = Field(DEV_KEY, validation_alias="DEV_ENCRYPTION_KEY", repr=False)
    """The Fernet key of the platform's development mode."""

    environment: str = Field("", validation_alias="KEYDECK_ENVIRONMENT", max_length=20)
    """A word for the header: prod, staging, …"""

    environment_colour: Colour = Field("", validation_alias="KEYDECK_ENVIRONMENT_COLOUR")
    """The ground behind that word, so that production can't be taken for anything else: `red`, `amber`,
    `green`, `blue` or `magenta`.
    """

    databases: dict[str, DatabaseSettings] = Field(
        default_factory=dict, validation_alias="KEYDECK_DATABASES", repr=False
    )
    """Further databases to switch to with `:context`, by name; given in the file: a URL, or `{url = …,
    environment = …, environment_colour = …, binding = …}`. Each has its own binding or none.
    """

    estates: dict[str, EstateSettings] = Field(
        default_factory=dict, validation_alias="KEYDECK_ESTATES", repr=False
    )
    """Databases with the AWS account, Regions and keys that belong to each, by name; given in the file:
    `{database_url = …, profile = …, regions = …, write_key = …, trusted_keys = …, environment = …}`.
    """

    keys: dict[str, str] = Field(default_factory=dict, validation_alias="KEYDECK_KEYS")
    """Other keys for actions, by the action's id; given in the file."""

    theme: str = Field("keydeck-dark", validation_alias="KEYDECK_THEME", max_length=60)
    """The console's theme."""

    refresh: dict[str, float] = Field(default_factory=dict, validation_alias="KEYDECK_REFRESH")
    """Seconds between refreshes by screen, 0 for never; given in the file."""

    reduced_motion: bool = Field(False, validation_alias="KEYDECK_REDUCED_MOTION")
    """Nothing on screen moves by itself."""

    log_file: str = Field("", validation_alias="KEYDECK_LOG_FILE", max_length=4096)
    """Where the console's log goes; empty is the user's state folder, `none` is nowhere."""

    token_index: bool = Field(False, validation_alias="KEYDECK_TOKEN_INDEX")
    """Whether an index of tokens is kept and asked, by which `keydeck whose` opens nothing that it knows."""

    rotation_days: int = Field(365, validation_alias="KEYDECK_ROTATION_DAYS", ge=90, le=2560)
    """How often KMS keys must rotate at least, 90 to 2,560 days; more seldom is a finding."""

    material_days: int = Field(730, validation_alias="KEYDECK_MATERIAL_DAYS", ge=1)
    """How old the key material may be that tokens are under, in days; older is a finding."""

    administrators: Names = Field((), validation_alias="KEYDECK_ADMINISTRATORS")
    """ARNs of roles and users who may do everything with a KMS key; `*` and `?` as in IAM policies."""

    trusted_accounts: Names = Field((), validation_alias="KEYDECK_TRUSTED_ACCOUNTS")
    """Other AWS accounts that may use KMS keys."""

    write_alias: str = Field("", validation_alias="KEYDECK_WRITE_ALIAS", pattern="^(alias/[A-Za-z0-9/_-]+)?$")
    """The alias by which the platform is given its key; it must point to the key written under."""

    events_file: str = Field("", validation_alias="KEYDECK_EVENTS_FILE", max_length=4096)
    """The store of CloudTrail events; empty is `events.sqlite` in the user's data folder."""

    events_days: int = Field(400, validation_alias="KEYDECK_EVENTS_DAYS", ge=0)
    """How long events are kept by `events vacuum`, in days; 0 is for ever."""

    retired_keys: KeyNames = Field((), validation_alias="KEYDECK_RETIRED_KEYS")
    """Retired or compromised KMS keys; any use is a finding."""

    agreed_code: Names = Field((), validation_alias="KEYDECK_AGREED_CODE")
    """Code of others on the platform's tables that may run in Keydeck's writes, as a plan prints it, such as
    `public.touch@1f0c9d2e7a4b8c35`: its name and the beginning of its definition's digest. Changed code
    is not agreed to.
    """

    athena_table: str = Field("", validation_alias="KEYDECK_ATHENA_TABLE", pattern=r"^(\w+\.\w+)?$")
    """Athena's table over the trail's files, or Security Lake's, as `database.table`."""

    athena_output: str = Field("", validation_alias="KEYDECK_ATHENA_OUTPUT", pattern="^(s3://.+)?$")
    """Where Athena writes its results: `s3://bucket/prefix/`."""

    athena_workgroup: str = Field("", validation_alias="KEYDECK_ATHENA_WORKGROUP", max_length=128)
    """Athena's workgroup, if it has a place for results of its own."""

    signing_key: KeyNames = Field((), validation_alias="KEYDECK_SIGNING_KEY")
    """The KMS key that signs checkpoints and reports (`SIGN_VERIFY` or `GENERATE_VERIFY_MAC`);
    further ones, after commas, only verify.
    """

    former_signing_keys: KeyEnds = Field(default_factory=dict, validation_alias="KEYDECK_FORMER_SIGNING_KEYS")
    """KMS keys that signed once, and when each ended: `KEY until 2026-11-28T12:00:00Z`, after commas; in the
    file a table of key and time. What was signed before is still verified with them.
    """

    anchor_file: str = Field("", validation_alias="KEYDECK_ANCHOR_FILE", max_length=4096)
    """A file that checkpoints of the journal are appended to; empty for none."""

    anchor_bucket: str = Field(
        "",
        validation_alias="KEYDECK_ANCHOR_BUCKET",
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/\S*)?)?$",
    )
    """An S3 bucket with Object Lock that checkpoints are put into: `s3://bucket/prefix`."""

    anchor_days: int = Field(400, validation_alias="KEYDECK_ANCHOR_DAYS", ge=1, le=36_500)
    """How long an object there is locked, in days."""

    tsa_url: str = Field("", validation_alias="KEYDECK_TSA_URL", pattern=r"^(https?://\S+)?$", max_length=512)
    """A time-stamping authority (RFC 3161) that is asked for a time stamp over each checkpoint."""

    tsa_certificates: str = Field("", validation_alias="KEYDECK_TSA_CERTIFICATES", max_length=4096)
    """A PEM file with the root certificates by which time stamps are verified."""

    approvals: Names = Field((), validation_alias="KEYDECK_APPROVALS")
    """Actions that a second person must approve, separated by commas, such as `keys disable`; `all` for every
    one.
    """

    approvals_key: str = Field("", validation_alias="KEYDECK_APPROVALS_KEY", max_length=256)
    """The ARN of a symmetric KMS key of its own: asking and approving are calls under it, which CloudTrail
    records. Without it approvals are advisory.
    """

    approval_minutes: float = Field(
        DEFAULT_MINUTES, validation_alias="KEYDECK_APPROVAL_MINUTES", ge=1, le=10_080
    )
    """How long a request and its approval hold together, in minutes."""

    github_url: BaseUrl = Field(GITHUB, validation_alias="KEYDECK_GITHUB_URL", max_length=512)
    """The base URL of GitHub's API; of an Enterprise Server `https://HOST/api/v3`."""

    slack_url: BaseUrl = Field(SLACK, validation_alias="KEYDECK_SLACK_URL", max_length=512)
    """Where Slack is asked: https, or http on this machine."""

    atlassian_url: BaseUrl = Field("", validation_alias="KEYDECK_ATLASSIAN_URL", max_length=512)
    """Where all calls of Jira and Confluence go, such as a proxy: https, or http on this machine; empty is
    each connection's own site.
    """

    provider_urls: ProviderUrls = Field({}, validation_alias="KEYDECK_PROVIDER_URLS")
    """Where any other provider is asked, by its name: a table in the file, else JSON; https, or http on this
    machine.
    """

    github_client_id: str = Field(
        "", validation_alias="KEYDECK_GITHUB_CLIENT_ID", pattern="^[A-Za-z0-9_.-]*$", max_length=100
    )
    """The client id of the platform's OAuth app, so that GitHub revokes its tokens without a mail."""

    github_client_secret: str = Field("", validation_alias="KEYDECK_GITHUB_CLIENT_SECRET", repr=False)
    """The client secret of that app."""

    github_audit_token: str = Field("", validation_alias="KEYDECK_GITHUB_AUDIT_TOKEN", repr=False)
    """The token that reads the audit log of a GitHub organisation: scope `read:audit_log`, an owner's."""

    slack_audit_token: str = Field("", validation_alias="KEYDECK_SLACK_AUDIT_TOKEN", repr=False)
    """The token that reads Slack's audit logs: scope `auditlogs:read`, of an Enterprise owner."""

    atlassian_audit_token: str = Field("", validation_alias="KEYDECK_ATLASSIAN_AUDIT_TOKEN", repr=False)
    """The API key that reads an Atlassian organisation's events: scope `read:events:admin`."""

    runbooks: str = Field("", validation_alias="KEYDECK_RUNBOOKS", max_length=4096)
    """A folder with the team's own runbooks, beside the built-in ones; empty for none."""

    drill_days: int = Field(90, validation_alias="KEYDECK_DRILL_DAYS", ge=0, le=3_650)
    """How old the last restore drill may be, in days, before a reminder; 0 is for ever."""

    tables: tuple[TableSettings, ...] = Field((), validation_alias="KEYDECK_TABLES")
    """Further tables with tokens; given in the file."""

    extensions: Names = Field((), validation_alias="KEYDECK_EXTENSIONS")
    """Installed packages whose rules, providers, report sections and capabilities are used; they run in
    Keydeck, with all that it may do.
    """

    user_commands: tuple[UserCommandSettings, ...] = Field((), validation_alias="KEYDECK_USER_COMMANDS")
    """Commands of your own on the console's lists; given in the file."""

    columns: tuple[ColumnSettings, ...] = Field((), validation_alias="KEYDECK_COLUMNS")
    """Columns of your own on the console's lists; given in the file."""

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return what the settings are made with, and nothing else: `load` reads file and environment."""
        return (sources["init_settings"],)

    @field_validator("columns")
    @classmethod
    def _are_told_apart(cls, value: tuple[ColumnSettings, ...]) -> tuple[ColumnSettings, ...]:
        names = [(where, one.name) for one in value for where in one.on]
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise ValueError(f"two on {twice[0][0]} are named {twice[0][1]}")
        return value

    @field_validator("former_signing_keys")
    @classmethod
    def _sign_no_more(cls, value: dict[str, datetime], info: ValidationInfo) -> dict[str, datetime]:
        if both := sorted(set(value) & set(info.data.get("signing_key", ()))):
            raise ValueError(f"{clean(both[0], 200)} is a signing key too (KEYDECK_SIGNING_KEY)")
        return value

    @field_validator("administrators")
    @classmethod
    def _are_principals(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"arn:[a-z-]+:(?:iam|sts)::[0-9*?]{1,12}:\S+", arn) for arn in value):
            raise ValueError("not all are ARNs such as arn:aws:iam::123456789012:role/name")
        return value

    @field_validator("trusted_accounts")
    @classmethod
    def _are_accounts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[0-9]{12}", account) for account in value):
            raise ValueError("not all are account ids of 12 digits")
        return value

    @field_validator("approvals")
    @classmethod
    def _are_actions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        named = tuple(" ".join(action.split()) for action in value)
        unknown = next((action for action in named if action not in (*ACTIONS, "all")), None)
        if unknown is not None:
            raise ValueError(
                f"{clean(unknown, 60)!r} is not an operation; known are {', '.join(ACTIONS)}, and all"
            )
        return named

    @field_validator("approvals_key")
    @classmethod
    def _is_no_key_of_tokens(cls, value: str, info: ValidationInfo) -> str:
        if value and not is_key_arn(value):
            raise ValueError("not a key ARN such as arn:aws:kms:eu-west-1:123456789012:key/…")
        if value and value in (info.data.get("write_key"), *info.data.get("trusted_keys", ())):
            raise ValueError("tokens are sealed under this key: make another for approvals")
        return value

    @field_validator("write_format")
    @classmethod
    def _has_a_name(cls, value: str, info: ValidationInfo) -> str:
        if Format(value).binds_database and info.data.get("binding", value) is None:
            raise ValueError(f"{value} envelopes name their database, which has no binding (KEYDECK_BINDING)")
        return value

    @field_validator("least_format")
    @classmethod
    def _is_written(cls, value: str, info: ValidationInfo) -> str:
        given = info.data.get("write_format", value)
        written = bound_format(Format(given), info.data.get("binding"))
        if at_least(written, Format(value)) is not written:
            raise ValueError(f"{written} is written (KEYDECK_WRITE_FORMAT), which nobody could read then")
        return value

    @field_validator("dev_key")
    @classmethod
    def _is_fernet_key(cls, value: str) -> str:
        try:
            raw = urlsafe_b64decode(value.encode("ascii"))
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise ValueError("not a Fernet key: 32 bytes in URL-safe base64")
        return value

    @field_validator("token_index")
    @classmethod
    def _is_kept_up(cls, on: bool) -> bool:
        """Without its capability, each rewrite would leave the index behind."""
        name = "index of tokens"
        if on and not_installed(name, "The"):
            needed = OWN_TOOLS[name]
            raise ValueError(f"token_index needs the capability {needed}, which this installation leaves out")
        return on

    @property
    def written_format(self) -> Format:
        """The version of new envelopes: v2 is v2-bound where the database has a binding."""
        return bound_format(Format(self.write_format), self.binding)

    @property
    def endpoints(self) -> Endpoints:
        own = {name: getattr(self, f"{name}_url") for name in OF_OWN_URLS}
        return Endpoints(own | self.provider_urls, self.github_client_id, self.github_client_secret)

    def audit_token(self, provider: str) -> str:
        """Return the token that reads a provider's audit log, "" where none is set."""
        return str(getattr(self, f"{provider}_audit_token"))

    @property
    def limits(self) -> Limits:
        return Limits(
            self.rotation_days,
            self.material_days,
            self.administrators,
            frozenset(self.trusted_accounts),
            self.write_alias,
        )

    @property
    def all_tables(self) -> tuple[TokenTable, ...]:
        return (*PLATFORM_TABLES, *(t.table() for t in self.tables))

    def required_database_url(self) -> str:
        if not self.database_url:
            raise SettingsError("No database is configured.", remedy=database_remedy())
        return self.database_url


ADDED: tuple[type[AddedSettings], ...] = tuple(
    resolve_name(one.settings) for one in manifests() if one.settings
)
if TYPE_CHECKING:
    Settings = CoreSettings
else:

    class Settings(*ADDED, CoreSettings):
        """All settings."""


FIELDS = placed(
    CoreSettings.model_fields,
    ((name, field, one.after[name]) for one in ADDED for name, field in one.model_fields.items()),
)
"""All settings, in the order in which they are listed."""


class LoadedSettings(BaseModel, frozen=True):
    """The settings and where each came from: "default", a file's path, an environment name, "option"."""

    settings: Settings
    origins: dict[str, str]

    def shown(self) -> list[tuple[str, str, str]]:
        """Return (name, value, origin) of every setting, secrets masked."""
        values = ((name, _shown(name, getattr(self.settings, name))) for name in FIELDS)
        return [(name, value, self.origins.get(name, "default")) for name, value in values]


def load(options: Mapping[str, Any] | None = None) -> LoadedSettings:
    """Return the settings; `options` are by field name, None if not given. Raises SettingsError."""
    path = settings_file()
    given = {name: value for name, value in (options or {}).items() if value is not None}
    of_file = _by_variable({} if path is None else _from_file(path))
    origins: dict[str, str] = {}
    values: dict[str, Any] = {}
    try:
        of_environment = EnvSettingsSource(Settings)()
        for origin, found in (
            (str(path), of_file),
            ("the environment", of_environment),
            ("option", _by_variable(given)),
        ):
            values |= found
            origins |= {_VARIABLES[variable]: origin for variable in found if variable in _VARIABLES}
        settings = Settings(**values)
    except (ValidationError, SettingsSourceError) as error:
        raise _explained(error, origins) from None  # the cause repeats the value, which may be secret
    return LoadedSettings(settings=settings, origins=origins)


def changed(settings: Settings, update: Mapping[str, Any], where: str) -> Settings:
    """Return settings with others in `update`, validated. Raises SettingsError that names `where`."""
    values = {name: getattr(settings, name) for name in FIELDS} | dict(update)
    try:
        return Settings(**_by_variable(values))
    except ValidationError as error:
        raise _explained(error, {}, where) from None


_URL = re.compile(r"\S*://\S*")
_VARIABLES = {str(field.validation_alias): name for name, field in FIELDS.items()}


def _by_variable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(FIELDS[name].validation_alias): value for name, value in values.items()}


def _explained(error: Exception, origins: Mapping[str, str], where: str = "") -> SettingsError:
    variable, message = "", "can't be read"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        variable = str(first["loc"][0]) if first["loc"] else ""
        inner = ".".join(str(part) for part in first["loc"][1:])
        said = first["msg"].removeprefix("Value error, ").rstrip(".")
        # A URL that stands where a name belongs may hold a token.
        message = _URL.sub("(hidden)", f"{inner}: {said}" if inner else said)
    name = _VARIABLES.get(variable, variable)
    origin = f"Setting {variable or 'of the environment'} (from {origins.get(name, 'default')})"
    return SettingsError(
        f"{f'{where}, {name}' if where else origin}: {message}.",
        remedy="keydeck help settings says what each setting takes.",
    )


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = read_toml(file.read(SIZE_LIMIT + 1))
    except FileNotFoundError as error:
        if os.environ.get(FILE_VARIABLE):
            raise SettingsError(
                f"There is no settings file {path}.", remedy=f"Check {FILE_VARIABLE}."
            ) from error
        return {}
    except OSError as error:
        raise SettingsError(f"The settings file {path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"The settings file {path} is {clean(error, 200)}.") from error
    _refuse_left_out(content, f"the settings file {path}")
    unknown = sorted(set(content) - set(FIELDS))
    if unknown:
        raise SettingsError(
            f"The settings file {path} has an unknown setting {clean(unknown[0], 60)!r}.",
            remedy=f"{meant(unknown[0], FIELDS)}Settings: {', '.join(FIELDS)}.",
        )
    return content


def _refuse_left_out(names: Iterable[str], where: str) -> None:
    """Raise SettingsError for a setting of a capability that is not here."""
    if sentence := next(filter(None, (not_installed(name, "Setting") for name in names)), ""):
        raise SettingsError(sentence, remedy=f"Take it out of {where}.")


def _shown(name: str, value: Any) -> str:
    if hasattr(value, "shown"):
        return clean(value.shown(), 2000)
    if value in (None, (), {}):
        return ""
    if name in ("database_url", "state_url"):
        return clean(f"{masked_url(value)} {left_out(value)}".rstrip(), 2000)
    if name == "former_signing_keys":
        ends = {key: f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for key, end in value.items()}
        return clean(", ".join(f"{key} until {end}" for key, end in ends.items()), 2000)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, dict):
        return clean(", ".join(f"{key} = {text}" for key, text in value.items()), 2000)
    if name == "dev_key":
        return "(the published key)" if value == DEV_KEY else "(hidden)"
    if value and isinstance(value, str) and not FIELDS[name].repr:
        return "(hidden)"
    if name in ("user_commands", "columns"):
        return clean(", ".join(f"{one.name} on {'/'.join(one.on)}" for one in value), 2000)
    if name == "tables":
        return clean(", ".join(f"{t.place}.{t.name}" if t.place else t.name for t in value), 2000)
    return clean(", ".join(value) if isinstance(value, tuple) else value)
