"""What importing the core loads: the platform pays for nothing that it doesn't use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
NOT_NEEDED = {
    "aiohttp",
    "alembic",
    "boto3",
    "botocore",
    "click",
    "console",
    "moto",
    "prometheus_client",
    "psycopg2",
    "pydantic",
    "rich",
    "screens",
    "sqlalchemy",
    "textual",
    "urllib3",
}


def loaded_by(statements: str) -> set[str]:
    """Names of the packages that a fresh interpreter has loaded after `statements`."""
    program = f"import json, sys\n{statements}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=HOME
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "statements",
    [
        "import crypto_core",
        "from crypto_core import TokenCipher, KmsKeyring, KmsApi; KmsKeyring(KmsApi(), write_key='alias/x')",
        "import crypto_core.findings.finding, crypto_core.lists.coverage",
    ],
)
def test_importing_the_core_loads_no_terminal_no_database_and_no_aws(statements: str) -> None:
    loaded = loaded_by(statements)
    assert "crypto_core" in loaded
    assert not loaded & NOT_NEEDED


def test_classifying_and_parsing_need_no_aws() -> None:
    loaded = loaded_by(
        "import crypto_core\n"
        "assert crypto_core.classify('ghp_x').provider == 'github'\n"
        "try: crypto_core.decrypt_token('djF8')\n"
        "except crypto_core.EnvelopeError: pass\n"
        "else: raise SystemExit('opened')"
    )
    assert not loaded & NOT_NEEDED


def test_this_test_would_see_what_is_loaded() -> None:
    assert {"click", "boto3"} <= loaded_by("import click, boto3")


def test_everything_that_the_core_offers_is_there() -> None:
    loaded_by("import crypto_core\nassert all(hasattr(crypto_core, n) for n in crypto_core.__all__)")


def test_the_trail_is_read_without_cryptography() -> None:
    loaded = loaded_by("import crypto_core.trail.sources.files.reader_process")
    assert not loaded & (NOT_NEEDED | {"cryptography"})
