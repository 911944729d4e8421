"""A journal with records and checkpoints, and an owner of database and signing key who makes it anew.

Everything is made by the product's own formulas: entries, checkpoints, records, digests, signatures by a key.
"""

from __future__ import annotations

import hashlib
import json
import random
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto_core.compliance.proof.records import FORM, signed_digest
from crypto_core.database.state.journal_verification import ACTION
from crypto_core.guard.signature import Signature, SigningTime, digest_of
from crypto_core.proof.forms import FIRST, Checkpoint, JournalEntry, canonical

ARN = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000001"
DATABASE = "7c3c1c0e-0000-4000-8000-000000000001"
HOUR = timedelta(hours=1)
FORMER = 6
"""So many entries are from before each said whether it was checked."""
CHECKED = (ACTION, "evidence record", "evidence purge")


class LocalSigner:
    """A Signer with a key of its own, as KMS signs with ECC_NIST_P256."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def sign(self, digest: bytes) -> Signature:
        value = self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        return Signature(ARN, "ECDSA_SHA_256", value)

    def verify(self, digest: bytes, signature: Signature, when: SigningTime | None = None) -> bool:
        raise NotImplementedError

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Step:
    """One thing that happened: what the journal calls it, when, and about what."""

    action: str
    at: datetime
    subject: str = ""


@dataclass
class History:
    """What database and signing key give: entries, the table's checkpoints, records with their signatures."""

    signer: LocalSigner
    entries: list[JournalEntry] = field(default_factory=list)
    stored: list[Checkpoint] = field(default_factory=list)
    records: list[tuple[str, Signature]] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    """How many entries there were before each step."""
    since: str = "2000-01-01"
    """The day on which a pack's period begins."""

    def enter(self, at: datetime, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        text = json.dumps(detail, sort_keys=True)
        last = self.entries[-1].digest if self.entries else FIRST
        texts = ("arn:aws:sts::1:assumed-role/op/ana", "host", action, subject, "done", text)
        checked = None if len(self.entries) < FORMER else action in CHECKED
        draft = JournalEntry(len(self.entries) + 1, at, *texts, last, b"", "keydeck_op", DATABASE, checked)
        self.entries.append(replace(draft, digest=draft.computed_digest()))

    def do(self, step: Step, stamp: Callable[[Checkpoint], bytes] | None = None) -> None:
        self.begins.append(len(self.entries))
        if step.action == ACTION:
            last = self.entries[-1]
            drafted = Checkpoint(last.seq, last.digest, step.at, Signature("", "", b""), DATABASE)
            made = replace(drafted, signature=self.signer.sign(drafted.signed))
            self.stored.append(made)
            detail = made.as_json()
            if stamp is not None:
                detail["time_stamp"] = b64encode(stamp(made)).decode()
            self.enter(step.at, ACTION, f"journal up to entry {made.seq}", detail)
        elif step.action == "evidence record":
            self._record(step)
        else:
            self.enter(step.at, step.action, step.subject, {})

    def _record(self, step: Step) -> None:
        number = len(self.records) + 1
        previous = hashlib.sha256(self.records[-1][0].encode()).digest() if self.records else FIRST
        last = self.entries[-1]
        document = canonical(
            {
                "keydeck_evidence_record": FORM,
                "number": number,
                "database_id": DATABASE,
                "taken_at": (step.at - timedelta(minutes=1)).isoformat(),
                "recorded_by": "ana",
                "version": "0.2.0",
                "previous": previous.hex(),
                "journal": {"seq": last.seq, "digest": last.digest.hex()},
                "catalogues": [],
                "snapshot": {"tokens": step.subject},
            }
        )
        signature = self.signer.sign(signed_digest(document))
        self.records.append((document, signature))
        detail = {
            "number": number,
            "sha256": hashlib.sha256(document.encode()).hexdigest(),
            "previous": previous.hex(),
            "signature": signature.as_json(),
            "unsigned_because": "",
        }
        self.enter(step.at, step.action, f"evidence record {number}", detail)

    def journal(self) -> str:
        last = self.entries[-1]
        head = {
            "keydeck_journal": 1,
            "last": {"seq": last.seq, "digest": last.digest.hex(), "database_id": DATABASE},
            "checkpoints": [one.as_json() | {"actor": last.actor} for one in self.stored],
        }
        return "".join(f"{json.dumps(one)}\n" for one in (head, *(entry.as_json() for entry in self.entries)))

    def pack(self, folder: Path) -> Path:
        """Write a pack of all records; returns the folder."""
        folder.mkdir(mode=0o700)
        lines = [
            {"document": document, "signature": signature.as_json(), "unsigned_because": ""}
            for document, signature in self.records
        ]
        (folder / "journal.jsonl").write_text(self.journal())
        (folder / "records.jsonl").write_text("".join(f"{canonical(line)}\n" for line in lines))
        (folder / "README.txt").write_text("How to verify.\n")
        self.seal(folder)
        return folder

    def seal(self, folder: Path) -> None:
        """Write a pack's manifest and its signature anew."""
        files = [
            {"path": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path.read_bytes())}
            for path in sorted(folder.iterdir())
            if path.name not in ("manifest.json", "signature.json")
        ]
        lines = (folder / "records.jsonl").read_text().splitlines()
        documents = [json.loads(line)["document"] for line in lines]
        last = self.entries[-1]
        numbers = [json.loads(one)["number"] for one in documents]
        manifest = canonical(
            {
                "keydeck_evidence_pack": 1,
                "database_id": DATABASE,
                "since": self.since,
                "until": "2100-01-01",
                "framework": "",
                "made_at": self.entries[-1].at.isoformat(),
                "made_by": "ana",
                "version": "0.2.0",
                "seed": "",
                "records": {
                    "first": numbers[0] if numbers else 0,
                    "last": numbers[-1] if numbers else 0,
                    "sha256_of_last": _sha256(documents[-1].encode()) if documents else "",
                },
                "journal": {
                    "first": 1,
                    "last": last.seq,
                    "digest": last.digest.hex(),
                },
                "keys": {ARN: {"algorithm": "ECDSA_SHA_256", "public_key": None}},
                "files": files,
            }
        )
        signature = self.signer.sign(digest_of("evidence pack", manifest)).as_json()
        told = {"sha256": _sha256(manifest.encode()), "signature": signature, "unsigned_because": ""}
        (folder / "manifest.json").write_text(f"{manifest}\n")
        (folder / "signature.json").write_text(f"{canonical(told)}\n")


def steps_of(days: int, begin: datetime) -> list[Step]:
    """A quiet history: each day some changes, a record and a checkpoint."""
    steps = []
    for day in range(days):
        at = begin + day * 24 * HOUR
        steps += [Step("rewrap", at + hour * HOUR, f"token {day}.{hour}") for hour in range(1, 4)]
        steps += [Step("evidence record", at + 4 * HOUR, str(day)), Step(ACTION, at + 5 * HOUR)]
    return steps


def history_of(
    signer: LocalSigner, steps: Sequence[Step], kept: History | None = None, same: int = 0
) -> History:
    made = History(signer)
    if kept is not None and same:
        entries = kept.begins[same] if same < len(kept.begins) else len(kept.entries)
        made.entries, made.begins = kept.entries[:entries], kept.begins[:same]
        made.stored = [one for one in kept.stored if one.seq < entries]
        made.records = kept.records[: sum(step.action == "evidence record" for step in steps[:same])]
    for step in steps[same:]:
        made.do(step)
    return made


@dataclass(frozen=True)
class Attack:
    """What an owner made of a history, and the number of the first entry that is another or gone."""

    name: str
    history: History
    first: int


def attack_of(draw: random.Random, honest: History, steps: Sequence[Step]) -> Attack:
    """One random remaking: everything from some step on is computed and signed anew."""
    name = draw.choice(("fork", "cut", "back-date", "reorder", "edit", "insert", "drop", "replace record"))
    records = [n for n, step in enumerate(steps) if step.action == "evidence record"]
    place = draw.choice(records) if "record" in name else draw.randrange(1, len(steps))
    before, changed, after = list(steps[:place]), steps[place], list(steps[place + 1 :])
    if name == "cut":
        made = before
    elif name == "fork":
        made = [*before, *(replace(step, subject=f"another {step.subject}") for step in [changed, *after])]
        made = made[: draw.randrange(place + 1, len(made) + 1)]
    elif name == "back-date":
        # Nothing may be earlier than what is before it, so those before it go back as well.
        far = draw.choice((1, 60, 60 * 24 * 40)) * timedelta(minutes=1)
        since = draw.randrange(place + 1)
        made = [replace(step, at=step.at - far) if n >= since else step for n, step in enumerate(steps)]
        place = since
        if since and made[since].at < made[since - 1].at:
            made, place = [replace(step, at=step.at - far) for step in steps], 0
    elif name == "reorder":
        other = draw.randrange(1, len(steps))
        made = list(steps)
        made[place], made[other] = (
            replace(steps[other], at=steps[place].at),
            replace(steps[place], at=steps[other].at),
        )
        place = min(place, other)
    elif name == "insert":
        made = [*before, Step("rewrap", changed.at, "never happened"), changed, *after]
    elif name == "drop":
        made = [*before, *after]
    else:
        made = [*before, replace(changed, subject=f"{changed.subject} whitewashed"), *after]
    place = next((n for n, (one, two) in enumerate(zip(made, steps, strict=False)) if one != two), len(made))
    if place == len(made) == len(steps):
        return attack_of(draw, honest, steps)
    history = history_of(honest.signer, made, honest, place)
    return Attack(name, history, (honest.begins[place] if place < len(steps) else len(honest.entries)) + 1)


def printed(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as `keydeck journal checkpoint --json` prints it."""
    return json.dumps(checkpoint.as_json() | {"time_stamp": None, "anchors": []}, indent=2).encode()


def begin_now(stamped: int) -> datetime:
    """When a history begins in which the checkpoint of a day is made about now."""
    return datetime.now(UTC).replace(microsecond=0) - (stamped * 24 + 5) * HOUR


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
