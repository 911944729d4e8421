"""Whether an OpenSSL is in FIPS mode is tried out, not believed; what requires it refuses without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import crypto_core
from crypto_core.aws import fips
from crypto_core.aws.fips import DATABASE, LIBRARY, PYTHON

WITHOUT_PROVIDER = """
openssl_conf = openssl_init
[openssl_init]
alg_section = alg
[alg]
default_properties = fips=yes
"""
TOLD = """
import json
from dataclasses import asdict
from crypto_core.aws.fips import openssl_modules
print(json.dumps({one.what: asdict(one) for one in openssl_modules()}))
"""


def told_in(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    house = str(Path(crypto_core.__file__).parents[1])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENSSL")}
    ran = subprocess.run(
        [sys.executable, "-c", TOLD],
        env=inherited | {"PYTHONPATH": house, "CRYPTOGRAPHY_OPENSSL_NO_LEGACY": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: dict[str, dict[str, Any]] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    ("mode", "works", "refuses", "wanted"),
    [
        (None, True, True, None),
        (False, True, True, False),
        (True, False, True, False),
        (True, True, False, False),
        (True, True, True, True),
    ],
)
def test_fips_mode_is_what_says_so_and_acts_so(
    mode: bool | None, works: bool, refuses: bool, wanted: bool | None
) -> None:
    found, why = fips._judged(mode, lambda: works, lambda: refuses)
    assert (found, bool(why)) == (wanted, True)


def test_a_setting_without_a_provider_is_no_fips_mode(tmp_path: Path) -> None:
    config = tmp_path / "openssl.cnf"
    config.write_text(WITHOUT_PROVIDER)
    found = told_in({"OPENSSL_CONF": str(config)})
    for name in (PYTHON, LIBRARY):
        assert (found[name]["fips"], found[name]["broken"]) == (False, True), name
        assert "no provider is loaded" in found[name]["why"]
    assert found[DATABASE]["fips"] is None
    plain = told_in({"OPENSSL_CONF": os.devnull})
    assert {(plain[name]["fips"], plain[name]["broken"]) for name in (PYTHON, LIBRARY)} == {(False, False)}


@pytest.mark.deep
def test_with_the_provider_pythons_openssl_is_in_fips_mode(tmp_path: Path) -> None:
    """Of the wheel of cryptography nothing is asked: it has an OpenSSL that no provider may be for."""
    told = os.environ.get("OPENSSL_MODULES") or _modules_folder()
    if not (Path(told) / "fips.so").exists():
        pytest.skip("OpenSSL's FIPS provider is not installed (Debian: openssl-provider-fips)")
    made = tmp_path / "fipsmodule.cnf"
    installing = ["openssl", "fipsinstall", "-out", made, "-module", Path(told) / "fips.so"]
    subprocess.run(installing, check=True, capture_output=True)
    config = tmp_path / "openssl.cnf"
    providers = "providers = providers\n[providers]\nfips = fips_sect\nbase = base_sect\n"
    base = "[base_sect]\nactivate = 1\n"
    head, alg = WITHOUT_PROVIDER.split("[alg]")
    config.write_text(f"{head}{providers}{base}[alg]{alg}\n.include {made}\n")
    found = told_in({"OPENSSL_CONF": str(config), "OPENSSL_MODULES": told})
    assert (found[PYTHON]["fips"], found[PYTHON]["broken"]) == (True, False)


def _modules_folder() -> str:
    try:
        said = subprocess.run(["openssl", "version", "-m"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return os.devnull
    return said.stdout.partition('"')[2].rpartition('"')[0]
