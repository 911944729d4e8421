"""The settings as Keydeck finds them: the file, who may read it, the write key, and where the log goes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from console.estates import estates_of
from console.files.logfile import log_path
from console.own_folders import FILE_VARIABLE, settings_file
from console.settings import LoadedSettings, Settings
from crypto_core.database.connection.urls import left_out, masked_url, parse_database_url
from crypto_core.diagnosis import Check, Topic
from crypto_core.envelope import Format
from crypto_core.guard.approvals import ADVISORY
from crypto_core.lists.toml_fields import SIZE_LIMIT, read_toml
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError


def look_at_settings(area: str, loaded: LoadedSettings | SettingsError) -> Iterator[Check]:
    """Yield the checks of the settings. No value of a secret is shown."""
    path = settings_file()
    yield _file(area, path, loaded)
    if path is not None:
        yield from _file_permissions(area, path)
    if isinstance(loaded, SettingsError):
        return
    settings = loaded.settings
    yield _places(area, loaded)
    yield _write_key(area, settings)
    yield _binding(area, loaded)
    for name, found in estates_of(settings).items():
        if isinstance(found, SettingsError):
            yield Topic(area, f"estate {clean(name, 60)}").failed(found.message, found.remedy)
    if settings.approvals:
        yield _four_eyes(area, settings)
    yield Topic(area, "log file").by(partial(_log, settings))


def _four_eyes(area: str, settings: Settings) -> Check:
    topic = Topic(area, "four eyes")
    if not settings.approvals_key:
        return topic.warning(
            ADVISORY,
            "Set KEYDECK_APPROVALS_KEY to a symmetric KMS key of its own. keydeck grants approver prints the "
            "policy for it.",
        )
    return topic.ok("An approval is used only once CloudTrail has delivered it.")


def _file(area: str, path: Path | None, loaded: LoadedSettings | SettingsError) -> Check:
    if isinstance(loaded, SettingsError):
        return Topic(area, "settings").failed(loaded.message, loaded.remedy)
    if path is None:
        return Topic(area, "settings").ok("From the environment alone; there is no home folder for a file.")
    if not path.exists():
        return Topic(area, "settings").ok(f"From the environment alone; there is no file {path}.")
    named = f" (named by {FILE_VARIABLE})" if os.environ.get(FILE_VARIABLE) else ""
    return Topic(area, "settings").ok(f"Valid; the file is {path}{named}.")


def _file_permissions(area: str, path: Path) -> Iterator[Check]:
    """Nothing for a file that isn't there or can't be read: the check of its content says so."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        with path.open("rb") as file:
            secret = _holds_secret(read_toml(file.read(SIZE_LIMIT + 1)))
    except (OSError, ValueError):
        return
    said = f"Mode {mode:03o}"
    if mode & 0o077 and secret:
        said = f"{said}: the file holds a password, and others may read or change it."
        yield Topic(area, "file's mode").warning(said, f"chmod 600 {path}")
    elif mode & 0o022:
        said = f"{said}: others may change the settings."
        yield Topic(area, "file's mode").warning(said, f"chmod go-w {path}")
    else:
        yield Topic(area, "file's mode").ok(f"{said}.")


def _holds_secret(content: Any) -> bool:
    """True if any text in the file is a key, or an address with a password."""
    if isinstance(content, dict):
        return "dev_key" in content or any(_holds_secret(value) for value in content.values())
    if isinstance(content, list):
        return any(_holds_secret(value) for value in content)
    return isinstance(content, str) and "://" in content and _has_password(content)


def _has_password(url: str) -> bool:
    try:
        return parse_database_url(url).has_password
    except SettingsError:
        return "@" in url


def _places(area: str, loaded: LoadedSettings) -> Check:
    settings = loaded.settings
    if not settings.database_url:
        return Topic(area, "database").skipped("None is configured.")
    origin = loaded.origins.get("database_url", "default")
    said = f"{masked_url(settings.database_url)}, from {origin}. {left_out(settings.database_url)}"
    return Topic(area, "database").ok(said.rstrip())


def _write_key(area: str, settings: Settings) -> Check:
    if settings.write_key:
        return Topic(area, "write key").ok(settings.write_key)
    said = "None is configured: tokens are shown, but whether their key is the right one is not known."
    remedy = "Set TOKEN_ENCRYPTION_KEY_ID to the key that the platform writes under, best as a key ARN."
    return Topic(area, "write key").warning(said, remedy)


def _binding(area: str, loaded: LoadedSettings) -> Check:
    """What new envelopes are bound to, and which of another database's would open."""
    settings, topic = loaded.settings, Topic(area, "binding")
    written = settings.written_format
    if settings.binding is None:
        unbound = "; new v2 envelopes name no database" if written.binds_row else ""
        return topic.ok(f"None is configured (KEYDECK_BINDING){unbound}.")
    said = (
        f'"{settings.binding}", from {loaded.origins.get("binding", "default")}: envelopes that name another '
    )
    said += "database are refused, "
    if Format(settings.least_format).binds_database:
        said += "and the platform refuses those that name none."
    else:
        said += "those that name none still open (KEYDECK_LEAST_FORMAT)."
    if not written.binds_database:
        return topic.warning(
            f"{said} New envelopes are {written} and name none.",
            "Set KEYDECK_WRITE_FORMAT=v2 once all readers have the same KEYDECK_BINDING.",
        )
    return topic.ok(f"{said} New envelopes are {written}.")


def _log(settings: Settings, topic: Topic) -> Check:
    path = log_path(settings)
    if path is None:
        return topic.skipped("None, as set: the log is kept in memory alone.")
    remedy = "Set KEYDECK_LOG_FILE to a file that you may write, or to none."
    trouble = _unwritable(path)
    if trouble:
        return topic.warning(f"{path} {trouble}.", remedy)
    return topic.ok(f"{path}{'' if path.exists() else ' (not there yet)'}")


def _unwritable(path: Path) -> str:
    """Why the console could not write its log there, "" if it could. Creates nothing."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        folder = path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            return f"can't be made: {clean(folder)} is not a folder"
        return (
            "" if os.access(folder, os.W_OK | os.X_OK) else f"can't be made: {clean(folder)} is not writable"
        )
    except OSError as error:
        return f"can't be looked at: {clean(error.strerror)}"
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
        return "is not a plain file of yours"
    return "" if os.access(path, os.W_OK) else "is not writable"
