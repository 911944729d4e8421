"""The wheel and the source package, built from this tree, and environments that they are installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from uv import find_uv_bin

from console.sandbox.sandbox import Sandbox

HOME = Path(__file__).parents[2]
PARTS = (
    "LICENSE",
    "CHANGELOG.md",
    "README.md",
    "console",
    "crypto_core",
    "pyproject.toml",
    "screens",
    "tests",
)
SOURCE = shutil.ignore_patterns("__pycache__", "*.pyc")
OURS = (
    "AWS_",
    "KEYDECK_",
    "PG",
    "PYTHON",
    "DATABASE_URL",
    "TOKEN_ENCRYPTION",
    "DEV_ENCRYPTION",
    "VIRTUAL_ENV",
)


def uv(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run uv and return what it printed; fail with what it said."""
    done = subprocess.run(
        [find_uv_bin(), *map(str, arguments)],
        cwd=cwd or HOME,
        env=outside(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def outside(**settings: str) -> dict[str, str]:
    """An environment that has nothing of this one's settings, nor of its modules."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy", **settings}


@dataclass(frozen=True, slots=True)
class Installed:
    folder: Path

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        return subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=self.folder,
            env=outside(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def packages(self) -> set[str]:
        listed = uv("pip", "list", "--format", "freeze", "--python", self.folder)
        return {line.partition("==")[0] for line in listed.split()}


@dataclass(frozen=True, slots=True)
class Built:
    wheel: Path
    source: Path

    def into(self, folder: Path, *requirements: str, python: str = "", extra: str = "") -> Installed:
        """Install the wheel, with what it needs, into a fresh environment."""
        wheel = f"{self.wheel}[{extra}]" if extra else str(self.wheel)
        uv("venv", "--quiet", *(["--python", python] if python else []), folder)
        uv(
            "pip",
            "install",
            "--quiet",
            "--only-binary",
            ":all:",
            "--python",
            folder,
            *(requirements or [wheel]),
        )
        if requirements:
            uv("pip", "install", "--quiet", "--no-deps", "--python", folder, self.wheel)
        return Installed(folder)


def build(folder: Path) -> Built:
    """Build both packages from a copy of this tree, which has new times of its files."""
    tree = folder / "tree"
    for part in PARTS:
        if (HOME / part).is_dir():
            shutil.copytree(HOME / part, tree / part, ignore=SOURCE, copy_function=shutil.copyfile)
        else:
            tree.mkdir(exist_ok=True, parents=True)
            shutil.copyfile(HOME / part, tree / part)
    uv("build", "--quiet", "--out-dir", folder / "dist", tree)
    (wheel,), (source,) = ((folder / "dist").glob(kind) for kind in ("*.whl", "*.tar.gz"))
    return Built(wheel, source)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def lean(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return built.into(tmp_path_factory.mktemp("lean") / "env")


@pytest.fixture
def settings(sandbox: Sandbox, database_url: str) -> dict[str, str]:
    """What points an installed Keydeck at a database of the test's own and the sandbox's AWS."""
    return sandbox.settings() | {"DATABASE_URL": database_url}
