"""Every lower bound and every Python from 3.11 on: each plays the drill. Deep: environments are made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.packages.conftest import Built, outside, uv

pytestmark = [pytest.mark.deep, pytest.mark.slow]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
THIS = f"{sys.version_info[0]}.{sys.version_info[1]}"
EVERY_CALL = """
import boto3
from crypto_core.guard.iam_policy import KeydeckRole, iam_policy
statements = iam_policy(KeydeckRole.RESPONDER, [])["Statement"]
asked = {tuple(action.split(":")) for statement in statements for action in statement["Action"]}
for service in ("kms", "cloudtrail"):
    known = set(boto3.client(service, region_name="eu-west-1").meta.service_model.operation_names)
    rights = {name for its, name in asked if its == service} - {"ReEncryptFrom", "ReEncryptTo"}
    assert rights and rights <= known, rights - known
"""
PASSED = "drill passed: 0 tokens under the compromised key"


def required(python: str, resolution: str, to: Path) -> Path:
    """Resolve what Keydeck and its sandbox need for a Python, whether it is here or not; wheels alone."""
    uv(
        *("pip", "compile", "--quiet", "--resolution", resolution, "--only-binary", ":all:"),
        *("--extra", "demo", "--python-version", python, "--output-file", to, "pyproject.toml"),
    )
    return to


def is_here(python: str) -> bool:
    command = [find_uv_bin(), "python", "find", "--no-project", python]
    return subprocess.run(command, env=outside(), capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_drill_is_played(built: Built, python: str, resolution: str, tmp_path: Path) -> None:
    if (python, resolution) == (THIS, "highest"):
        pytest.skip("all other tests run with these")
    requirements = required(python, resolution, tmp_path / "requirements.txt")
    assert "textual==" in requirements.read_text(encoding="utf-8")
    if not is_here(python):
        pytest.skip(f"no Python {python} here; its wheels are there")
    installed = built.into(tmp_path / "env", "--requirement", str(requirements), python=python)
    calls = installed.run("python", "-c", EVERY_CALL)
    assert calls.returncode == 0, calls.stderr
    played = installed.run("keydeck", "demo", "--drill", "--tokens", "60")
    assert played.returncode == 0, played.stderr
    assert played.stdout.splitlines()[-1] == PASSED


def test_pipx_runs_it_from_the_package(built: Built, tmp_path: Path) -> None:
    pipx = ("tool", "run", "pipx", "run", "--spec", str(built.wheel), "keydeck", "--version")
    assert uv(*pipx, cwd=tmp_path).startswith("keydeck, version ")
