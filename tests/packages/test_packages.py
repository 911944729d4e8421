"""What the packages hold, that one tree gives the same ones, what a release adds. Deep: they are built."""

from __future__ import annotations

import email
import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.packages.conftest import HOME, Built, Installed, build, outside

pytestmark = pytest.mark.deep

ONE_SIGN = str.maketrans("_.", "--")
"""A package's name may be written with either."""
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_same_tree_gives_the_same_bytes(built: Built, tmp_path: Path) -> None:
    again = build(tmp_path)
    assert again.wheel.read_bytes() == built.wheel.read_bytes()
    assert again.source.read_bytes() == built.source.read_bytes()


def test_the_wheel_holds_the_three_floors_and_their_documents(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
        metadata = email.message_from_bytes(wheel.read(f"keydeck-{PROJECT['version']}.dist-info/METADATA"))
    assert {name.partition("/")[0] for name in names} == {
        *("console", "crypto_core", "screens", f"keydeck-{PROJECT['version']}.dist-info"),
    }
    assert {"crypto_core/FORMAT.md", "crypto_core/SECURITY.md", "crypto_core/py.typed"} <= names
    here = {
        path.relative_to(HOME).as_posix()
        for floor in ("console", "crypto_core", "screens")
        for path in (HOME / floor).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here == {name for name in names if ".dist-info/" not in name}
    for field in ("Summary", "Keywords", "Maintainer", "License-Expression", "Requires-Python", "Classifier"):
        assert metadata[field], field
    assert set(metadata.get_all("Provides-Extra") or ()) >= {"anchors", "demo", "web"}


def test_the_source_package_runs_its_tests(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.source) as package:
        package.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    tests = {path.relative_to(HOME / "tests") for path in (HOME / "tests").rglob("test_*.py")}
    assert {path.relative_to(tree / "tests") for path in (tree / "tests").rglob("test_*.py")} == tests
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "tests/crypto_core/envelope", "tests/vectors"],
        cwd=tree,
        env=outside(PYTHONPATH=str(tree)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"\d{3,} passed", ran.stdout)


def test_a_release_adds_a_bill_of_materials_of_what_production_installs(
    built: Built, lean: Installed, tmp_path: Path
) -> None:
    script = [HOME / ".ci" / "release", tmp_path]
    path = f"{Path(find_uv_bin()).parent}:{outside()['PATH']}"
    subprocess.run(script, env=outside(PATH=path), capture_output=True, check=True)
    assert {path.suffix for path in tmp_path.iterdir()} == {".whl", ".gz", ".json", ""}
    assert (tmp_path / built.wheel.name).read_bytes() == built.wheel.read_bytes()
    told = (tmp_path / "keydeck.cdx.json").read_text(encoding="utf-8")
    bill = json.loads(told)
    root = bill["metadata"]["component"]
    assert (bill["bomFormat"], root["name"], root["version"]) == ("CycloneDX", "keydeck", PROJECT["version"])
    listed = {component["name"].lower().translate(ONE_SIGN) for component in bill["components"]}
    assert listed == {name.translate(ONE_SIGN) for name in lean.packages()} - {"keydeck"}
    assert str(Path.home()) not in told


def test_the_version_is_the_first_of_the_changes_and_they_rise() -> None:
    changes = re.findall(r"^## (\S+)$", (HOME / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert changes[0] == PROJECT["version"]
    numbers = [tuple(map(int, version.split("."))) for version in changes]
    assert numbers == sorted(set(numbers), reverse=True)
