"""The outsider's command: what verifies signatures and time stamps by openssl, and what is printed."""

from __future__ import annotations

import argparse
import base64
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from crypto_core.compliance.proof.pack import PackedFolder, PackVerdict, UnreadablePackError, prove_pack
from crypto_core.proof.forms import (
    Anchor,
    Answer,
    Ask,
    Claim,
    ended,
    export_head,
    export_lines,
    kept_anchors,
    key_fault,
    moment_in,
)
from crypto_core.proof.journal import NOT_ANCHORED, RESTS_ON_NOTHING, JournalVerdict, JournalVerification

PEM = b"-----BEGIN PUBLIC KEY-----\n%b-----END PUBLIC KEY-----\n"
# KMS takes the 32 bytes that are signed as a digest, or as a message, which it may hash again.
AGAIN = {"ECDSA_SHA_384": "sha384", "ECDSA_SHA_512": "sha512"}
RSA = "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:"
OPTIONS = {
    "ECDSA_SHA_256": "",
    "ECDSA_SHA_384": "",
    "ECDSA_SHA_512": "",
    "ED25519_SHA_512": "-rawin",
    "ML_DSA_SHAKE_256": "-rawin",
    "RSASSA_PSS_SHA_256": f"{RSA}pss -pkeyopt rsa_pss_saltlen:32",
    "RSASSA_PKCS1_V1_5_SHA_256": f"{RSA}pkcs1",
}
MACS = ("HMAC_SHA_256", "HMAC_SHA_384", "HMAC_SHA_512")
LARGEST_SIGNATURE = 6144


class TrustedPem:
    """A public key in PEM, what it is called, and when it ended: None for one that has not."""

    def __init__(self, content: bytes, name: str, end: datetime | None = None) -> None:
        self.content, self.name, self.end = content, name, end


def openssl(*arguments: str | bytes) -> tuple[bool, str]:
    """Run openssl, which gets bytes as the name of a file; returns whether it agrees, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        names = [one if isinstance(one, str) else f"{folder}/{n}" for n, one in enumerate(arguments)]
        for name, content in zip(names, arguments):
            if isinstance(content, bytes):
                Path(name).write_bytes(content)
        done = subprocess.run(["openssl", *names], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def is_signed(key: bytes, digest: bytes, algorithm: str, signature: bytes) -> bool:
    message = hashlib.new(AGAIN[algorithm], digest).digest() if algorithm in AGAIN else digest
    more: list[str | bytes] = [*OPTIONS[algorithm].split(), "-sigfile", signature, "-in", message]
    return openssl("pkeyutl", "-verify", "-pubin", "-inkey", key, *more)[0]


def answer_by(keys: Sequence[TrustedPem], claim: Claim) -> Answer:
    """Return whether one of the keys signed what is claimed."""
    digest, signature, when = claim
    if signature.algorithm in MACS:
        return Answer(None, f"{signature.algorithm} is no signature by a public key: only KMS can verify it.")
    if signature.algorithm not in OPTIONS or not 0 < len(signature.value) <= LARGEST_SIGNATURE:
        return Answer(False)
    found = [key for key in keys if is_signed(key.content, digest, signature.algorithm, signature.value)]
    return Answer(bool(found), next((told for key in found if (told := ended(key.name, key.end, when))), ""))


def asking(keys: Sequence[TrustedPem], unusable: str) -> Ask:
    """Return what verifies signatures by these keys; `unusable` says why nothing can."""

    def ask(claims: Sequence[Claim]) -> list[Answer]:
        if unusable:
            return [Answer(None, unusable)] * len(claims)
        with ThreadPoolExecutor() as pool:
            told = list(pool.map(partial(answer_by, keys), claims))
        return [Answer(False, one.why) if one.why and one.valid else one for one in told]

    return ask


def stamped_at(roots: bytes, stamp: bytes, message: bytes) -> datetime | str:
    """The time of an authority's valid time stamp over a message, or why it doesn't count."""
    text = openssl("ts", "-reply", "-in", stamp, "-text")[1].rpartition("TST info:")[2]  # what is signed
    words = [word.partition(".")[0] for word in text.partition("\nTime stamp: ")[2].split()[:4]]
    try:
        at = datetime.strptime(" ".join(words) + " +0000", "%b %d %H:%M:%S %Y %z")
    except ValueError:
        return "The time stamp is not valid."
    then = ("-attime", str(int(at.timestamp())))  # its certificate counts as of then
    imprint = hashlib.sha256(message).hexdigest()
    valid = openssl("ts", "-verify", "-digest", imprint, "-in", stamp, "-CAfile", roots, *then)[0]
    return at if valid else "The time stamp is not valid."


def trusted_pem(path: str, end: datetime | None = None) -> TrustedPem:
    """Return the key of a file, in PEM or in base64 of DER. Raises ValueError for what is none."""
    content = Path(path).read_bytes()
    if fault := key_fault(content):
        raise ValueError(f"{path} {fault}.")
    if b"-----BEGIN" not in content:
        try:
            content = PEM % base64.encodebytes(base64.b64decode(content.strip(), validate=True))
        except ValueError:
            content = PEM % base64.encodebytes(content)  # DER as it stands
    return TrustedPem(content, path, end)


def several(number: int, word: str) -> str:
    many = f"{word[:-1]}ies" if word.endswith("ry") else f"{word}s"
    return f"{number} {word if number == 1 else many}"


def fixed(verdict: JournalVerdict) -> Iterator[tuple[str, str]]:
    if verdict.problems:
        return
    newest = max(verdict.outside, key=lambda one: one.seq, default=None)
    if newest is None:
        yield "Not proved", NOT_ANCHORED
    else:
        by = " and ".join(newest.where)
        stamp = f"a time stamp of {newest.stamped_at}" if newest.stamped_at else ""
        yield "Fixed", f"up to entry {newest.seq}, by {' and '.join(filter(None, (by, stamp)))}."
    since = newest.seq if newest else 0
    if verdict.anchored > since:
        told = several(verdict.anchored - since, "entry")
        yield "Not proved", f"What rests on the signing key alone: {told} up to entry {verdict.anchored}."
    for one in verdict.contradicted:
        yield "Not proved", f"{one} That was acknowledged: whether to accept it is yours to judge."


def of_journal(verdict: JournalVerdict, *, packed: bool = False) -> Iterator[tuple[str, str]]:
    for checkpoint in verdict.breaks:
        broken = checkpoint.broken
        if broken is not None:
            yield "Acknowledged", f"{checkpoint} acknowledges a break. {broken.by}: {broken.reason}"
    for one in verdict.acknowledged:
        yield "Acknowledged", one
    number, checkpoints = verdict.entries, several(verdict.checkpoints, "checkpoint")
    unverified = several(verdict.stamps_unverified, "time stamp")
    told = f"{several(number, 'entry')}, {checkpoints}, {unverified} not verified"
    yield "Read", f"{told}; database {verdict.database_id or 'unknown'}."
    yield from fixed(verdict)
    if not packed and not verdict.problems:
        if not verdict.anchored:
            yield "Not proved", RESTS_ON_NOTHING
        elif behind := number - verdict.anchored:
            told = several(behind, "entry")
            yield "Not proved", f"What nobody signed: {told} behind entry {verdict.anchored}."


def of_pack(verdict: PackVerdict) -> Iterator[tuple[str, str]]:
    told = verdict.manifest
    if told is None:
        return
    days, gaps = verdict.days, verdict.gaps
    yield (
        "Period",
        f"{told.since} to {told.until}, made {told.made_at}; {several(len(days), 'day')} with records.",
    )
    if gaps:
        named = ", ".join(str(day) for day in gaps[:20]) + (" and more" if len(gaps) > 20 else "")
        yield "Gaps", f"{several(len(gaps), 'day')} without a record: {named}."
    if verdict.unsigned:
        named = ", ".join(map(str, verdict.unsigned[:20])) + (
            " and more" if len(verdict.unsigned) > 20 else ""
        )
        vouch = "journal and pack vouch for them alone"
        yield (
            "Not signed",
            f"{len(verdict.unsigned)} records have no signature of their own: {named}; {vouch}.",
        )
    if verdict.removed:
        named = f"{verdict.removed[0]} to {verdict.removed[-1]}"
        yield "Acknowledged", f"Taken away: {several(len(verdict.removed), 'record')}, of {named}."
    if verdict.journal:
        yield from of_journal(verdict.journal, packed=True)
    yield "Not proved", "That what was measured is true, or that reports say what the records say."


def said_of(given: Any) -> tuple[int, list[tuple[str, str]]]:
    """Verify what is given; returns the exit code, and what is to be said. Raises OSError, ValueError."""
    keys = [trusted_pem(path) for path in given.public_key]
    keys += [trusted_pem(path, moment_in(end.replace("Z", "+00:00"))) for path, end in given.former_key]
    version = openssl("version")[1].strip()
    unusable = f"take OpenSSL, for ML-DSA 3.5: this is {version}." if "LibreSSL" in version else ""
    for key in keys:
        if not unusable and not openssl("pkey", "-pubin", "-in", key.content, "-noout")[0]:
            unusable = f"{key.name} holds no public key that this openssl can read; {version}."
    roots = b"\n".join(Path(path).read_bytes() for path in given.tsa_certificates)
    kept: list[Anchor] = []
    also: list[str] = []
    for path in (*given.checkpoint, *given.anchors):
        for one in kept_anchors(Path(path).name, Path(path).read_bytes()):
            if isinstance(one, str):
                also.append(one)
            else:
                kept.append(one)
    ask = asking(keys, unusable)
    stamp_time = partial(stamped_at, roots) if roots and not unusable else None
    if given.pack:
        pack = prove_pack(
            PackedFolder(Path(given.pack)), lambda _: ask, given=kept, stamp_time=stamp_time, also=also
        )
        said, journal = list(of_pack(pack)), pack.journal
        wrong, unproved = [*pack.wrong], [*pack.unproved]
    else:
        path = Path(given.journal[0])
        with path.open("rb") as file:
            last, stored, fault = export_head(path.name, file.readline(1 << 28))
            verification = JournalVerification(last, stored, given=kept, stamp_time=stamp_time)
            verification.follow(export_lines(path.name, iter(partial(file.readline, 1 << 28), b"")))
        journal = verification.judge(ask, also=[*also, fault])
        said, wrong = list(of_journal(journal)), [*journal.problems]
        unproved = [one for one in (journal.unchecked, "" if journal.anchored else RESTS_ON_NOTHING) if one]
    said = [("Wrong", one) for one in wrong] + [("Not checked", one) for one in unproved] + said
    judged = unproved or (journal and journal.contradicted)
    return 1 if wrong else 3 if judged else 0, said


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verifies an evidence pack of Keydeck. See the file's head.")
    parser.add_argument("pack", nargs="?")
    for name in ("--journal", "--public-key", "--checkpoint", "--anchors", "--tsa-certificates"):
        parser.add_argument(name, metavar="FILE", action="append", default=[])
    parser.add_argument("--former-key", nargs=2, metavar=("FILE", "TIME"), action="append", default=[])
    given = parser.parse_args(arguments)
    if bool(given.pack) + len(given.journal) != 1 or not (given.public_key or given.former_key):
        parser.error("name one pack or one journal, and the public key")
    try:
        code, said = said_of(given)
    except UnreadablePackError as error:
        parser.exit(2, f"{error}\n")
    except OSError as error:
        parser.exit(3 if error.filename == "openssl" else 2, f"{error.filename}: {error.strerror}\n")
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    for kind, sentence in dict.fromkeys(said):
        print(f"{kind}: {ascii(sentence[:1000])[1:-1]}")  # nothing in it acts on a terminal
    return code


if __name__ == "__main__":
    raise SystemExit(main())
