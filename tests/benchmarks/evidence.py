"""How long a year's evidence pack takes to be made, verified and opened, and how large it is.

    python -m tests.benchmarks.evidence [--json] [--entries N] [--days N]

A year of records, a journal of so many entries and 1,000 changes, over the sandbox's PostgreSQL and KMS. What
opens the page is a headless Chromium, where there is one. Time is what passes, once. Exit status 1 if a
target is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.aws.public_keys import PublicKeys, fetched_public_keys, public_key
from crypto_core.compliance.facts import ChangeFacts
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.pack.recomputing import Recomputer
from crypto_core.compliance.pack.verification import TrustedKey, verify_pack
from crypto_core.compliance.pack.writer import PackWriter
from crypto_core.compliance.period.judging import AtHand, CheckedRecords, PeriodQuestion, audit_period
from crypto_core.database.state.installation import install
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.proof.pack import PackedFolder
from tests.benchmarks.measuring import (
    Target,
    environment,
    exit_status,
    print_json,
    print_table,
    print_targets,
)
from tests.crypto_core.checked import checked
from tests.crypto_core.compliance.pack.making import MADE, SINCE, made_changes, made_records, noon

_VERSION = "0.2.0"
_CHANGES = 1_000
_BATCH = 2_000
"""Entries that are written in one transaction."""
_FILL = """
SELECT count(keydeck.append_to_journal(
    'arn:aws:sts::123456789012:assumed-role/operator/ana, database role ops', 'ops-1',
    'rewrap', 'gh_connection.access_token:gh-' || n, 'done',
    '{"from": "arn:aws:kms:eu-west-1:123456789012:key/5b1d3a55-2d0f-4a0e-8f77-3f0c6a1f9e01", "plan": "'
    || n || '"}'))
FROM generate_series(:first, :last) AS n
"""


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=365)
    arguments = parser.parse_args()
    with TemporaryDirectory() as place, Sandbox.start(data=False) as sandbox:
        os.environ.update(sandbox.settings())
        measured = _measured(Container(load().settings), sandbox, Path(place) / "pack", arguments)
    targets = [
        Target("the page of a year opens in", measured["open_seconds"] or 0.0, 5.0, "s"),
        Target("a year's pack has", measured["megabytes"], 20.0, "MB"),
    ]
    if arguments.json:
        print_json(
            {
                "environment": environment(),
                "measured": measured,
                "targets": [one.as_json() for one in targets],
            }
        )
    else:
        print_table(["what", "measured"], [[name, f"{value}"] for name, value in measured.items()])
        print_targets(targets)
    return exit_status(targets)


def _measured(
    container: Container, sandbox: Sandbox, folder: Path, asked: argparse.Namespace
) -> dict[str, Any]:
    install(container.engine)
    key = str(
        sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"][
            "Arn"
        ]
    )
    signer, journal = KmsSigner(container.kms.call, [key]), container.journal
    for first in range(1, asked.entries + 1, _BATCH):
        with container.engine.begin() as connection:
            last = min(first + _BATCH - 1, asked.entries)
            connection.execute(text(_FILL), {"first": first, "last": last})
    records = made_records(
        asked.days, (50, 51, 120, 200), signer=signer, exposed=(6, 7), database_id=journal.database_id()
    )
    for one in records:
        detail = {"number": one.number, "sha256": one.digest.hex(), "previous": one.previous.hex()}
        checked(journal, "evidence record", f"evidence record {one.number}", detail, actor="bench")
    checkpoints = JournalCheckpoints(journal, signer, read_only=False)
    checkpoints.checkpoint()
    changes = made_changes(_CHANGES, asked.days)
    library = ControlLibrary()
    question = PeriodQuestion(SINCE, SINCE + timedelta(days=asked.days - 1), "", "", 40)
    at_hand = AtHand(ChangeFacts(noon(SINCE), noon(SINCE) + timedelta(days=asked.days), changes))
    period, judged = _timed(
        lambda: audit_period(
            question, CheckedRecords(records), library.read(), at_hand, MADE + timedelta(days=300)
        )
    )
    writer = PackWriter(
        checkpoints,
        signer,
        lambda number: None,
        lambda: library.read().catalogues,
        lambda named: fetched_public_keys(container.kms.call, [key]),
        version=_VERSION,
    )
    made, written = _timed(lambda: writer.write(period, folder))
    public = public_key(container.kms.call("GetPublicKey", KeyId=key)["PublicKey"], "bench")
    check, verified = _timed(
        lambda: verify_pack(
            PackedFolder(folder),
            TrustedKey(PublicKeys([public]), "bench"),
            Recomputer(library.read, _VERSION),
        )
    )
    if not check.proved:
        raise SystemExit(f"the pack is not proved: {check.problems or check.unproved}")
    return {
        "records": len(records),
        "bytes_of_a_record": len(records[-1].document),
        "entries": check.entries,
        "judge_seconds": round(judged, 2),
        "make_seconds": round(written, 2),
        "verify_seconds": round(verified, 2),
        "open_seconds": _opened(folder / "report.html"),
        "megabytes": round(made.bytes / 1e6, 2),
        "largest": {
            path.name: round(path.stat().st_size / 1e6, 2)
            for path in sorted(folder.iterdir(), key=lambda path: -path.stat().st_size)[:5]
        },
    }


def _timed(do: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    made = do()
    return made, time.perf_counter() - began


def _opened(page: Path) -> float | None:
    """How long a browser takes from its start to the painted page; None without one."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return None
    command = [
        *(
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--screenshot={page.parent.parent / 'page.png'}",
        ),
        page.as_uri(),
    ]
    _, seconds = _timed(lambda: subprocess.run(command, check=True, capture_output=True))
    return round(float(seconds), 2)


if __name__ == "__main__":
    sys.exit(main())
