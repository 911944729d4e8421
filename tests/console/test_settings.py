"""Settings of the console: the profile, the databases to switch to, and how they are marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.settings import LoadedSettings, load
from crypto_core.values.errors import SettingsError
from tests.left_out import needs


@pytest.fixture
def told(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], LoadedSettings]:
    """Load a settings file of this text, and the sandbox's environment."""
    file = tmp_path / "settings.toml"
    monkeypatch.setenv("KEYDECK_SETTINGS", str(file))

    def read(text: str) -> LoadedSettings:
        file.write_text(text)
        return load()

    return read


def test_a_database_is_named_by_its_url_alone_or_with_a_mark(told: Callable[[str], LoadedSettings]) -> None:
    loaded = told(
        '[databases]\nlab = "postgresql://lab/tokens"\n'
        '[databases.live]\nurl = "postgresql://ana:hunter2@live/tokens"\n'
        'environment = "PROD"\nenvironment_colour = "red"\n'
    )
    lab, live = loaded.settings.databases["lab"], loaded.settings.databases["live"]
    assert (lab.url, lab.environment, lab.environment_colour) == ("postgresql://lab/tokens", "", "")
    assert (live.environment, live.environment_colour) == ("PROD", "red")
    [shown] = [value for name, value, _ in loaded.shown() if name == "databases"]
    assert shown == "lab = postgresql://lab/tokens, live = postgresql://ana:***@live/tokens"
    assert "hunter2" not in repr(loaded)


@pytest.mark.parametrize("rest", ["hunter2", "hunter2:x", "hunter2/x", "hunter2#"])
def test_a_password_with_an_unescaped_at_is_not_shown(
    told: Callable[[str], LoadedSettings], rest: str
) -> None:
    loaded = told(f'database_url = "postgresql://ana:p@{rest}@live/tokens"\n')
    assert "hunter2" not in repr([*loaded.shown(), loaded])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", "v1"),
        ('binding = "acme"', "v1"),
        ('write_format = "v2"', "v2"),
        ('binding = "acme"\nwrite_format = "v2"', "v2-bound"),
        ('binding = "acme"\nwrite_format = "v2-bound"', "v2-bound"),
        ('binding = "acme"\nwrite_format = "v2"\nleast_format = "v2-bound"', "v2-bound"),
    ],
)
def test_what_is_written_as_v2_is_bound_where_there_is_a_binding(
    told: Callable[[str], LoadedSettings], text: str, written: str
) -> None:
    assert told(text).settings.written_format.value == written


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('write_format = "v2-bound"', "KEYDECK_WRITE_FORMAT.*no binding .KEYDECK_BINDING"),
        ('write_format = "v2"\nleast_format = "v2-bound"', "KEYDECK_LEAST_FORMAT.*v2 is written"),
        ('binding = "acme"\nleast_format = "v2-bound"', "KEYDECK_LEAST_FORMAT.*v1 is written"),
        ('binding = " acme"', "KEYDECK_BINDING.*1 to 64 printable ASCII"),
        ('binding = "acm\u00e9"', "KEYDECK_BINDING.*1 to 64 printable ASCII"),
        (f'binding = "{"x" * 65}"', "KEYDECK_BINDING.*1 to 64 printable ASCII"),
        ('[databases.live]\nurl = "postgresql://a@b/c"\nbinding = "a "', "live.binding.*printable ASCII"),
    ],
)
def test_a_binding_that_is_none_or_is_missing_is_named(
    told: Callable[[str], LoadedSettings], text: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        told(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('environment_colour = "purple"', "KEYDECK_ENVIRONMENT_COLOUR"),
        ('[databases.live]\nurl = "postgresql://a:hunter2@b/c"\nenvironment_colour = "pink"', "live"),
        ('[databases.live]\nurl = "postgresql://a:hunter2@b/c"\nhost = "x"', "live.host"),
        ("[databases]\nlive = 5", "live"),
    ],
)
def test_a_malformed_mark_is_named_without_repeating_the_url(
    told: Callable[[str], LoadedSettings], text: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        told(text)
    assert "hunter2" not in str(caught.value)


def test_the_profile_of_the_environment_wins_over_the_files(
    told: Callable[[str], LoadedSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told("").settings.profile is None
    assert told('profile = "audit"').settings.profile == "audit"
    monkeypatch.setenv("AWS_PROFILE", "ops")
    assert told('profile = "audit"').settings.profile == "ops"
    monkeypatch.setenv("AWS_PROFILE", "")
    assert told("").settings.profile is None, "empty is not set"


def test_the_limits_of_the_posture_come_from_the_settings(
    told: Callable[[str], LoadedSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = told("").settings.limits
    assert (limits.rotation_days, limits.material_days) == (365, 730)
    assert (limits.administrators, limits.accounts, limits.alias) == ((), frozenset(), "")
    monkeypatch.setenv(
        "KEYDECK_ADMINISTRATORS", "arn:aws:iam::123456789012:role/key-*, arn:aws:iam::1:user/b"
    )
    monkeypatch.setenv("KEYDECK_TRUSTED_ACCOUNTS", "111122223333,999999999999")
    limits = told('rotation_days = 180\nmaterial_days = 400\nwrite_alias = "alias/tokens"').settings.limits
    assert (limits.rotation_days, limits.material_days, limits.alias) == (180, 400, "alias/tokens")
    assert limits.administrators == ("arn:aws:iam::123456789012:role/key-*", "arn:aws:iam::1:user/b")
    assert limits.accounts == {"111122223333", "999999999999"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rotation_days = 30", "KEYDECK_ROTATION_DAYS"),
        ("rotation_days = 3000", "KEYDECK_ROTATION_DAYS"),
        ("material_days = 0", "KEYDECK_MATERIAL_DAYS"),
        ('administrators = ["role/admin"]', "KEYDECK_ADMINISTRATORS"),
        ('trusted_accounts = ["12345"]', "KEYDECK_TRUSTED_ACCOUNTS"),
        ('write_alias = "tokens"', "KEYDECK_WRITE_ALIAS"),
        ("drill_days = -1", "KEYDECK_DRILL_DAYS"),
        pytest.param("review_days = -1", "KEYDECK_REVIEW_DAYS", marks=needs("evidence")),
        pytest.param("evidence_days = 399", "KEYDECK_EVIDENCE_DAYS", marks=needs("evidence")),
    ],
)
def test_limits_that_are_none_are_named(told: Callable[[str], LoadedSettings], text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        told(text)


def test_the_teams_runbooks_and_the_age_of_a_drill_come_from_the_settings(
    told: Callable[[str], LoadedSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = told("").settings
    assert (settings.runbooks, settings.drill_days) == ("", 90)
    monkeypatch.setenv("KEYDECK_RUNBOOKS", "/srv/runbooks")
    monkeypatch.setenv("KEYDECK_DRILL_DAYS", "0")
    settings = told('runbooks = "elsewhere"').settings
    assert (settings.runbooks, settings.drill_days) == ("/srv/runbooks", 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = " + "[" * 100_000, "is not TOML that can be read: nested too deeply"),
        ("a = " + "9" * 10_000, "is not TOML: Exceeds the limit"),
        ("a." * 10_000 + "a = 1", "line 1 has more than 200 dots"),
        ("#" * 300_000, "is longer than 256 KiB"),
    ],
    ids=range(4),
)
def test_a_hostile_settings_file_is_refused_by_name(
    told: Callable[[str], LoadedSettings], text: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        told(text)
    assert "settings.toml" in caught.value.message


def test_what_a_databases_url_holds_for_others_is_left_out_with_a_word(
    monkeypatch: pytest.MonkeyPatch, keydeck: Callable[..., Any]
) -> None:
    url = "postgres://u:secret-word@h/d?pgbouncer=true&connection_limit=1&ssl=require&schema=x"
    monkeypatch.setenv("DATABASE_URL", url)
    shown = {row["name"]: row["value"] for row in keydeck("settings", "--json").json["settings"]}
    assert shown["database_url"] == (
        "postgresql://u:***@h/d?search_path=%22x%22&sslmode=require "
        "Left out: pgbouncer (Keydeck prepares no statements), "
        "connection_limit (Keydeck has a pool of its own)."
    )
    monkeypatch.setenv("DATABASE_URL", "postgres://u:secret-word@h/d?odd=secret-word")
    ran = keydeck("settings", "--json")
    assert "does not know: 'odd'" in ran.stdout
    assert "secret-word" not in ran.stdout
    refused = keydeck("status")
    assert (refused.exit_code, "'odd'" in refused.stderr, "secret-word" in refused.stderr) == (2, True, False)
