"""Packs over a real journal, signed by a key of the sandbox's KMS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, make_url, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.aws.public_keys import PublicKey, PublicKeys, fetched_public_keys, public_key
from crypto_core.compliance.facts import ChangeFacts
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.pack.verification import PackCheck, Recomputer, TrustedKey, verify_pack
from crypto_core.compliance.pack.writer import PackMade, PackWriter
from crypto_core.compliance.period.judgment import AtHand, CheckedRecords, PeriodQuestion, audit_period
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.proof.pack import (
    PackedFile,
    PackedFolder,
    PackSignature,
    read_manifest,
    signed_manifest,
)
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.signature import Signer
from crypto_core.values.clean_text import NO_TEXT
from tests.crypto_core.checked import checked
from tests.crypto_core.compliance.pack.making import MADE, SINCE, made_changes, made_records, noon
from tests.crypto_core.compliance.records.recorded import move_clock

VERSION = "0.2.0"
DAYS = 9


@dataclass
class PackingTable:
    """A journal that names records, and what makes packs over it."""

    services: Container
    key: str
    signer: KmsSigner
    journal: Journal
    checkpoints: JournalCheckpoints
    records: tuple[EvidenceRecord, ...]

    @property
    def period(self) -> AuditPeriod:
        """The period that the records give, with tokens in plaintext for two days."""
        changes = made_changes(30, DAYS)
        at_hand = AtHand(changes=ChangeFacts(noon(SINCE), noon(SINCE) + timedelta(days=DAYS), changes))
        asked = PeriodQuestion(SINCE, SINCE + timedelta(days=DAYS - 1), "soc2", "spring", 10)
        return audit_period(asked, CheckedRecords(self.records), ControlLibrary().read(), at_hand, MADE)

    def writer(self, signer: Signer | None = None, **more: Any) -> PackWriter:
        return PackWriter(
            self.checkpoints,
            signer or self.signer,
            lambda number: None,
            lambda: ControlLibrary().read().catalogues,
            lambda named: fetched_public_keys(self.services.kms.call, [self.key]),
            version=VERSION,
            host="ops-1",
            clock=lambda: MADE,
            **more,
        )

    def write(self, folder: Path) -> PackMade:
        return self.writer().write(self.period, folder)

    def seal(self, folder: Path) -> None:
        """Write manifest and signature anew, as whoever has the signing key can."""
        manifest = read_manifest((folder / "manifest.json").read_bytes())
        files = tuple(PackedFile(f.path, *PackedFolder(folder).digest(f.path)) for f in manifest.files)
        written = replace(manifest, files=files).text()
        (folder / "manifest.json").write_text(f"{written}\n")
        signature = self.signer.sign(signed_manifest(written))
        sealed = PackSignature(PackSignature.digest_of(written), signature, NO_TEXT)
        (folder / "signature.json").write_text(sealed.text())

    def public_key(self) -> PublicKey:
        """The key as an outsider has it."""
        answer = self.services.kms.call("GetPublicKey", KeyId=self.key)
        return public_key(answer["PublicKey"], "auditor.der")


def packing_table(services: Container, sandbox: Sandbox) -> PackingTable:
    """A journal with records of days, a gap among them, and a signed checkpoint."""
    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    key = str(made["KeyMetadata"]["Arn"])
    signer = KmsSigner(services.kms.call, [key])
    journal = Journal(services.engine, lambda: "arn:aws:sts::1:assumed-role/oncall/ana, database role x")
    records = made_records(DAYS, (4,), signer=signer, exposed=(6, 7), database_id=journal.database_id())
    superuser = open_engine(
        make_url(sandbox.superuser_url)
        .set(database=services.engine.url.database)
        .render_as_string(hide_password=False)
    )
    for one in records:
        _set_clock(superuser, one.taken_at + timedelta(minutes=1))
        detail = {
            "number": one.number,
            "sha256": one.digest.hex(),
            "previous": one.previous.hex(),
            "signature": one.signature.as_json() if one.signature else None,
        }
        checked(journal, "evidence record", f"evidence record {one.number}", detail)
    _set_clock(superuser, datetime.now(UTC))
    superuser.dispose()
    checkpoints = JournalCheckpoints(journal, signer, read_only=False)
    journal.record("evidence review", "keys", Outcome.DONE)
    checkpoints.checkpoint()
    return PackingTable(services, key, signer, journal, checkpoints, records)


def _set_clock(superuser: Engine, at: datetime) -> None:
    """Let Keydeck's functions in the database tell this time, and the journal go back to it."""
    move_clock(superuser, f"{(at - datetime.now(UTC)).total_seconds():.0f} seconds")
    with superuser.begin() as connection:
        connection.execute(
            text("UPDATE keydeck.journal_end SET at = least(at, CAST(:at AS timestamptz))"), {"at": at}
        )


def verified(folder: Path, *keys: PublicKey, also: Iterable[str] = ()) -> PackCheck:
    """What an outsider with a public key finds."""
    signer = PublicKeys(keys) if keys else None
    return verify_pack(
        PackedFolder(folder),
        TrustedKey(signer, "auditor.der"),
        Recomputer(ControlLibrary().read, VERSION),
        also=also,
    )
