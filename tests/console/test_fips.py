"""KEYDECK_FIPS=require: nothing starts without FIPS mode, but for what says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.__main__ import COMMANDS, OPEN, require_fips_for
from console.application.console_session import open_console
from console.container import Container
from console.host.runners import environment_of
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core import decrypt_token, encrypt_token
from crypto_core.aws import fips
from crypto_core.values.errors import SettingsError
from tests.console.command_types import Keydeck
from tests.crypto_core.openssls import MODULES

LACKING = tuple(replace(one, fips=False) for one in MODULES)


@pytest.fixture
def required(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Require FIPS mode, and have OpenSSL be in it or not."""

    def setting(*, active: bool) -> None:
        monkeypatch.setenv("KEYDECK_FIPS", "require")
        monkeypatch.setattr(fips, "openssl_modules", lambda: MODULES if active else LACKING)

    return setting


def test_without_it_no_command_starts_but_those_that_say_why(
    required: Callable[..., None], keydeck: Keydeck, sandbox: Sandbox
) -> None:
    required(active=False)
    before = sandbox.control.stats()
    for command in (name for name in COMMANDS if name not in OPEN):
        ran = keydeck(command)
        assert (ran.exit_code, ran.stdout) == (2, ""), command
        assert "FIPS provider is not active in Python's ssl and hashlib" in ran.stderr, command
        assert "OPENSSL_CONF" in ran.stderr
    with pytest.raises(SettingsError):
        require_fips_for(None)
    assert sandbox.control.stats() == before

    assert "fips" in keydeck("settings").stdout
    assert keydeck("help").exit_code == 0
    assert keydeck("completion", "bash").exit_code == 0
    assert keydeck("status", "--help").exit_code == 0


def test_services_the_console_and_the_library_refuse_likewise(
    required: Callable[..., None], sandbox: Sandbox
) -> None:
    required(active=False)
    before = sandbox.control.stats()
    starts: tuple[Callable[[], Any], ...] = (
        lambda: Container(load().settings),
        lambda: open_console(read_only=None, screen="status"),
        lambda: encrypt_token("ghp_" + "a" * 36),
        lambda: decrypt_token("djF8"),
    )
    for start in starts:
        with pytest.raises(SettingsError, match="KEYDECK_FIPS is require"):
            start()
    assert sandbox.control.stats() == before


def test_with_it_all_starts_and_processes_that_work_on_a_job_get_the_setting(
    required: Callable[..., None], keydeck: Keydeck
) -> None:
    required(active=True)
    assert keydeck("status", "--json").exit_code == 0
    assert environment_of(load().settings)["KEYDECK_FIPS"] == "require"


def test_the_settings_file_requires_it_as_well_and_a_wrong_value_is_named(
    environment: dict[str, str], keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fips, "openssl_modules", lambda: LACKING)
    path = tmp_path / "settings.toml"
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    path.write_text('fips = "require"\n')
    assert (keydeck("jobs", "list").exit_code, keydeck("help").exit_code) == (2, 0)
    with pytest.raises(SettingsError):
        require_fips_for("jobs")
    path.write_text('fips = "perhaps"\n')
    assert "KEYDECK_FIPS" in keydeck("status").stderr
    path.write_text("")
    monkeypatch.setenv("KEYDECK_FIPS", "perhaps")
    assert (ran := keydeck("jobs", "list")).exit_code == 2
    assert ran.stderr.count("KEYDECK_FIPS") == 1
