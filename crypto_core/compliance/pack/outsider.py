"""Verifies an evidence pack of Keydeck, or its journal alone, on a machine without Keydeck, AWS or network.

    python3 verifier.py PACK --public-key key.pem --checkpoint kept.json --tsa-certificates tsa.pem
    python3 verifier.py --journal journal.jsonl --public-key key.pem --anchors kept.jsonl

Get this file, the public key and what you kept from elsewhere: whoever changed a pack changed them with it.
It proves that the pack is what its manifest lists; that manifest, records and checkpoints are signed with
your key; that journal and records are a chain each, without a gap; and that history up to a checkpoint that
YOU kept, or that an authority time-stamped, is what it was then. It does not prove that what was measured is
true, nor that reports say what the records say. Who owns database and signing key can make everything anew:
only what was kept elsewhere or time-stamped stands against that. Damage that was acknowledged is damage.
Exit code: 0 proved, 1 something is wrong, 2 wrong usage, 3 OpenSSL is missing or not all could be checked.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Optional


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. A name that stands twice is refused: readers differ in which of the two they take."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


CLOCKS, LATE = timedelta(minutes=10), timedelta(hours=6)  # so much do clocks differ, and records come late
UNREADABLE = (ValueError, RecursionError, LookupError, TypeError, AttributeError, OverflowError)
TEXTS = ("actor", "host", "action", "subject", "outcome", "detail")
ENTRY = {*TEXTS, "seq", "at", "previous", "digest", "database_role", "database_id", "checked"}
SEAL = ("manifest.json", "signature.json")
PEM = b"-----BEGIN PUBLIC KEY-----\n%b-----END PUBLIC KEY-----\n"
# KMS takes the 32 bytes that are signed as a digest, or as a message, which it may hash again.
AGAIN = {"ECDSA_SHA_384": "sha384", "ECDSA_SHA_512": "sha512"}
RSA = "-pkeyopt digest:sha256 -pkeyopt rsa_padding_mode:"
OPTIONS = {"ECDSA_SHA_256": "", "ECDSA_SHA_384": "", "ECDSA_SHA_512": "", "ED25519_SHA_512": "-rawin"}
OPTIONS.update(RSASSA_PSS_SHA_256=f"{RSA}pss -pkeyopt rsa_pss_saltlen:32", ML_DSA_SHAKE_256="-rawin")
OPTIONS.update(RSASSA_PKCS1_V1_5_SHA_256=f"{RSA}pkcs1")
moment = datetime.fromisoformat
iso = "{:%Y-%m-%dT%H:%M:%S.%f+00:00}".format  # how a time in UTC is written where it is hashed
document_of = partial(json.loads, object_pairs_hook=once)
canonical = partial(json.dumps, sort_keys=True, separators=(",", ":"))
Claim = Optional[tuple[bytes, str, bytes]]  # the digest that is signed, KMS's algorithm, the signature


def framed(*parts: bytes) -> bytes:
    """Each part with its length before it, so that no two lists of parts look the same."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def claim_of(signature: Any, *parts: str | bytes) -> Claim:
    """What is signed for a purpose and the fields behind it, and the signature; None without one."""
    kinds = [b"t" + framed(part.encode()) if isinstance(part, str) else b"b" + framed(part) for part in parts]
    signed = hashlib.sha256(b"keydeck signature 1\0" + len(parts).to_bytes(8, "big") + b"".join(kinds))
    told = signature or {"signature": "", "algorithm": ""}
    value = base64.b64decode(told["signature"], validate=True)
    same = "key_arn" in told and base64.b64encode(value).decode() == told["signature"]
    return (signed.digest(), str(told["algorithm"]), value if same else b"") if signature else None


def openssl(*arguments: str | bytes) -> tuple[bool, str]:
    """Run openssl, which gets bytes as the name of a file; returns whether it agrees, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        names = [one if isinstance(one, str) else f"{folder}/{n}" for n, one in enumerate(arguments)]
        for name, content in zip(names, arguments):
            if isinstance(content, bytes):
                Path(name).write_bytes(content)
        done = subprocess.run(["openssl", *names], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def is_signed(keys: list[bytes], claim: Claim) -> bool | None:
    """Whether one of the keys signed; None where nothing is signed, or no public key can tell."""
    digest, algorithm, signature = claim or (b"", "", b"")
    if algorithm not in OPTIONS or not keys:
        return None
    message = hashlib.new(AGAIN[algorithm], digest).digest() if algorithm in AGAIN else digest
    more: list[str | bytes] = [*OPTIONS[algorithm].split(), "-sigfile", signature, "-in", message]
    return any(openssl("pkeyutl", "-verify", "-pubin", "-inkey", key, *more)[0] for key in keys)


def stamped_at(roots: bytes, stamped: tuple[bytes, str]) -> datetime | None:
    """The time of an authority's valid time stamp over a digest; None for another."""
    stamp, imprint = stamped
    text = openssl("ts", "-reply", "-in", stamp, "-text")[1].rpartition("TST info:")[2]  # what is signed
    words = [word.partition(".")[0] for word in text.partition("\nTime stamp: ")[2].split()[:4]]
    at = datetime.strptime((" ".join(words) or "Jan 1 00:00:00 1970") + " +0000", "%b %d %H:%M:%S %Y %z")
    then = ("-attime", str(int(at.timestamp())))  # its certificate counts as of then
    valid = openssl("ts", "-verify", "-digest", imprint, "-in", stamp, "-CAfile", roots, *then)[0]
    return at if valid else None


class Checkpoint:
    """The journal's digest at an entry, signed. One with `broken` acknowledges damage before it."""

    def __init__(self, who: str, where: str, document: Any, held: tuple[int, datetime] | None = None) -> None:
        one = document.get("checkpoint", document)
        self.who, self.held, self.broken = who, held, one.get("broken")
        self.seq, self.digest, self.at = int(one["seq"]), bytes.fromhex(one["digest"]), moment(one["at"])
        self.name = f"{where}: the checkpoint over entry {self.seq} of {self.at:%Y-%m-%d %H:%M:%S} UTC"
        self.database = one.get("database_id") or ""
        ends = [] if self.broken is None else [canonical(self.broken)]
        parts = (*filter(None, [self.database]), str(self.seq), self.digest, one["at"], *ends)
        self.claim = claim_of(one, "journal break" if ends else "journal checkpoint", *parts)
        told = {name: one[name] for name in one.keys() - {"actor", "time_stamp", "anchors"}}
        stamped = claim_of(one, "journal anchor", json.dumps(told, sort_keys=True))
        stamp = base64.b64decode(document.get("time_stamp") or "", validate=True)
        self.stamp = (stamp, hashlib.sha256(stamped[0]).hexdigest()) if stamp and stamped else None


class Verifier:
    """Reads a pack or a journal. What is to be said of it is kept in sentences, by kind."""

    def __init__(self) -> None:
        self.said: dict[str, list[str]] = {"Wrong": [], "Not checked": [], "Acknowledged": []}
        self.checkpoints: list[Checkpoint] = []
        self.records: list[tuple[str, Any, Claim]] = []
        self.recorded: dict[int, tuple[int, datetime, Any]] = {}  # as entries of the journal name the records
        self.removed: list[Any] = []  # as entries name records whose documents were taken away
        self.ends: dict[int, tuple[bytes, datetime]] = {0: (bytes(32), moment("0001-01-02T00:00:00+00:00"))}
        self.seq, self.role, self.database, self.last = 0, None, "", (0, b"")
        self.seal: Claim = None

    def fault(self, what: str, fault: str, is_there: bool) -> bool:
        self.said["Wrong"] += [f"{what}: {fault}."] * is_there
        return is_there

    def take(self, path: Path, take: Callable[[str, Any], None], *, whole: bool = False) -> None:
        """Give a function each line's JSON text; what is none, or not what it must be, is wrong."""
        with path.open("rb") as file:
            read = partial(file.read if whole else file.readline, 1 << 28)  # so long may a line be
            for number, text in enumerate(iter(read, b""), 1):
                try:
                    take(f"{path.name}, line {number}", document_of(text.decode()))
                except UNREADABLE:
                    self.fault(f"{path.name}, line {number}", "this is not what Keydeck writes there", True)

    def checkpoint(self, who: str, where: str, document: Any, held: Any = None) -> None:
        self.checkpoints.append(Checkpoint(who, where, document, held))

    def entry(self, where: str, entry: Any) -> None:
        """Follow the journal's head, or an entry: its number, its digest, its time, its database."""
        if entry.get("keydeck_journal") == 1 and not self.seq:
            self.last = (entry["last"]["seq"], bytes.fromhex(entry["last"]["digest"]))
            self.checkpoints += [Checkpoint("head", where, one) for one in entry["checkpoints"]]
            return
        seq, at, role, database = (entry[name] for name in ("seq", "at", "database_role", "database_id"))
        at, previous, digest = moment(at), bytes.fromhex(entry["previous"]), bytes.fromhex(entry["digest"])
        checked = {True: ["checked"], False: ["text"]}.get(entry.get("checked"), [])  # older entries: neither
        form = [["v3", "v4"][len(checked)], database] if database is not None else ["v2"] * (role is not None)
        texts = [*form, str(seq), iso(at), *map(entry.get, TEXTS), *checked, *[role] * (role is not None)]
        computed = hashlib.sha256(previous + framed(*map(str.encode, texts))).digest()
        before, fault = self.ends[self.seq], partial(self.fault, f"{where}: entry {seq}")
        fault(f"entries are missing or not in order: {self.seq} is before it", seq != self.seq + 1)
        fault("it does not follow the entry before it", previous != before[0])
        fault("it was changed", digest != computed or {*entry, "checked"} != ENTRY)
        fault("it is earlier than the entry before it", None not in (role, self.role) and at < before[1])
        fault("it is of another database, or names none", database != (self.database or database))
        self.ends[seq] = (digest, at)
        self.seq, self.role, self.database = seq, role, self.database or database
        done = entry["action"] if entry["outcome"] == "done" and checked != ["text"] else ""
        if done == "journal checkpoint":
            self.checkpoint("entry", where, document_of(entry["detail"]), (seq, at))
        if done == "evidence record":
            self.recorded.setdefault((detail := document_of(entry["detail"]))["number"], (seq, at, detail))
        if done == "evidence purge" and checked:
            self.removed.append(detail := document_of(entry["detail"]))
            self.said["Acknowledged"].append(f"records {detail['first']} to {detail['last']} were taken away")

    def record(self, where: str, line: Any) -> None:
        text, record = line["document"], document_of(line["document"])
        record.update(line, document="", snapshot="", sha256=hashlib.sha256(text.encode()).hexdigest())
        self.records.append((where, record, claim_of(line["signature"], "evidence record", text)))

    def pack(self, folder: Path) -> None:
        """Compare a folder with its manifest, and take what it holds. Only its own plain files are opened."""
        there: dict[str, Any] = {}
        for path in sorted(folder.iterdir()):
            if not self.fault(path.name, "it is no plain file", path.is_symlink() or not path.is_file()):
                digest = hashlib.sha256()
                with path.open("rb") as file:
                    for part in iter(partial(file.read, 1 << 20), b""):
                        digest.update(part)
                    there[path.name] = {"path": path.name, "bytes": file.tell(), "sha256": digest.hexdigest()}
        text, seal = ((folder / name).read_bytes().decode() for name in SEAL if there.pop(name))
        self.manifest, told = document_of(text), document_of(seal)
        self.seal = claim_of(told["signature"], "evidence pack", text[:-1])
        told.update(sha256=hashlib.sha256(text[:-1].encode()).hexdigest(), unsigned_because="")
        same = [canonical(self.manifest) + "\n", canonical(told) + "\n"] == [text, seal]
        known = not told["signature"] or told["signature"]["key_arn"] in self.manifest["keys"]
        self.fault("manifest.json and signature.json", "Keydeck did not write them so", not (same and known))
        listed = {file["path"]: file for file in self.manifest["files"]}
        for name in sorted({*there, *listed}):
            words = f"the manifest lists {listed.get(name)}, the folder has {there.get(name)}"
            self.fault(name, words, listed.get(name) != there.get(name))
        if "anchors.jsonl" in there:
            self.take(folder / "anchors.jsonl", partial(self.checkpoint, "pack"))
        for name, take in (("records.jsonl", self.record), ("journal.jsonl", self.entry)):
            self.take(folder / there[name]["path"], take)

    def judge_checkpoints(self, signed: Any, stamps: Any) -> Iterator[tuple[int, str]]:
        """Compare every checkpoint with the entry that it is over; yield the entries it fixes, and how."""
        for one in self.checkpoints:
            fault, (digest, at) = partial(self.fault, one.name), self.ends.get(one.seq, (b"", one.at))
            bad = fault("it is not signed by your key", signed[one.claim] is False)
            bad |= fault("it is of another database", one.database not in ("", self.database))
            bad |= fault("its entry is gone, or is not the one that was signed", digest != one.digest)
            if one.broken and not bad:
                self.said["Acknowledged"].append(f"{one.name}: {one.broken['by']}: {one.broken['reason']}")
            if one.stamp in stamps:
                stamp, (held, held_at) = stamps[one.stamp] or at, one.held or (0, stamps[one.stamp] or at)
                bad |= fault("its time stamp is not valid", stamps[one.stamp] is None)
                bad |= fault(f"its entry says {at}, but a time stamp over it {stamp}", at > stamp + CLOCKS)
                bad |= fault(f"it is held by entry {held}, of {held_at}", held_at < stamp - CLOCKS)
            if not bad and signed[one.claim] and (one.who == "kept" or one.stamp in stamps):
                yield one.seq, one.name if one.who == "kept" else f"its time stamp of {stamps[one.stamp]}"

    def judge_records(self, signed: Any) -> None:
        """Compare each record with the journal's entry of it, and the records with the period."""
        for where, record, claim in self.records:
            number, end, taken = record["number"], record["journal"], moment(record["taken_at"])
            seq, at, entry = self.recorded.get(number, (0, taken, {}))
            before = self.recorded.get(number - 1, (0, at, {"sha256": "0" * 64}))[2]["sha256"]
            moved = end["seq"] >= seq or self.ends[end["seq"]][0].hex() != end["digest"]
            fault = partial(self.fault, f"{where}: record {number}")
            fault("the journal does not name it, or another one", entry.get("sha256") != record["sha256"])
            fault("it does not follow the record before it", record["previous"] != before)
            fault("it is of another database", record["database_id"] != self.database)
            fault("it names another end of the journal", moved)
            fault(f"it says {taken}, but the journal has it since {at}", not -CLOCKS <= at - taken <= LATE)
            fault("it is not signed by your key", signed[claim] is False)
        numbers = [record["number"] for _, record, _ in self.records]
        for number, (_, at, _) in self.recorded.items():
            inside = self.manifest["since"] <= str(at)[:10] <= self.manifest["until"]
            removed = any(detail["first"] <= number <= detail["last"] for detail in self.removed)
            self.fault(f"record {number}", "it is missing", inside and number not in numbers and not removed)

    def verify(self, given: Any) -> None:
        """Read all that is given, ask openssl about signatures and time stamps, and compare."""
        roots = b"\n".join(file.read_bytes() for file in given.tsa_certificates)
        keys = [file.read_bytes() for file in given.public_key]
        keys = [k if b"-----BEGIN" in k else PEM % base64.encodebytes(base64.b64decode(k)) for k in keys]
        version = openssl("version")[1].strip()
        if "LibreSSL" in version or not all(openssl("pkey", "-pubin", "-in", k, "-noout")[0] for k in keys):
            self.said["Not checked"].append(f"signatures: take OpenSSL, for ML-DSA 3.5: this is {version}")
            keys, roots = [], b""
        for file in (*given.checkpoint, *given.anchors):
            self.take(file, partial(self.checkpoint, "kept"), whole=file in given.checkpoint)
        self.pack(given.pack) if given.pack else self.take(given.journal[0], self.entry)
        self.fault("The journal", "it ends elsewhere", self.last != (self.seq, self.ends[self.seq][0]))
        claims = {self.seal, *(one.claim for one in self.checkpoints), *(one[2] for one in self.records)}
        held = {one.stamp for one in self.checkpoints if one.stamp}
        with ThreadPoolExecutor() as pool:
            signed = dict(zip(claims, pool.map(partial(is_signed, keys), claims)))
            stamps = dict(zip(held, pool.map(partial(stamped_at, roots), held))) if roots else {}
        fixed, how = max(self.judge_checkpoints(signed, stamps), default=(0, "nothing kept"))
        if given.pack:
            self.fault("The pack", "your key did not sign it", not self.seal or signed[self.seal] is False)
            self.judge_records(signed)
        unchecked = {claim[1] for claim in claims if claim and signed[claim] is None}
        self.said["Not checked"] += [f"what {name} signed: no public key can tell" for name in unchecked]
        read = f"{self.seq} entries, {len(self.records)} records, {len(signed)} signatures"
        self.said["Read"] = [f"{read}; {len(stamps)} of {len(held)} time stamps were verified."]
        rest = f"{self.seq - fixed} entries behind it rest on the signing key alone"
        self.said["Fixed"] = [] if self.said["Wrong"] else [f"up to entry {fixed}, by {how}; {rest}."]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verifies an evidence pack of Keydeck. See the file's head.")
    parser.add_argument("pack", nargs="?", type=Path)
    for name in ("--journal", "--public-key", "--checkpoint", "--anchors", "--tsa-certificates"):
        parser.add_argument(name, type=Path, metavar="FILE", action="append", default=[])
    given, verifier = parser.parse_args(arguments), Verifier()
    if bool(given.pack) == bool(given.journal) or not given.public_key:
        parser.error("name a pack or a journal, and the public key")
    try:
        verifier.verify(given)
    except OSError as error:
        parser.exit(3 if error.filename == "openssl" else 2, f"{error.filename}: {error.strerror}\n")
    except UNREADABLE as error:
        verifier.fault("What was given", f"it can't be read: {error}", True)
    for kind, sentence in [(kind, sentence) for kind, some in verifier.said.items() for sentence in some]:
        print(f"{kind}: {ascii(sentence[:1000])[1:-1]}")  # nothing in it acts on a terminal
    return 1 if verifier.said["Wrong"] else 3 if verifier.said["Not checked"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
