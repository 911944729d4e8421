"""What Keydeck concludes, and where that is false.

Each conclusion is played as the command, in a database that an adversary left. It has two halves: `prepare`
is what went before the attack, such as a request for approval; `judge` runs the command, and returns one
sentence for each thing that it concluded and that isn't so.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from console.sandbox import access_keys
from console.sandbox.endpoint import Denial, PastCall
from tests.adversary.stage import TABLES, THIEF, Play
from tests.conftest import Ran
from tests.left_out import is_left_out

DECLARED = (*TABLES, "connectors", "mcp_servers")


INHERENT = ("policy", "view in place of a table")
"""What PostgreSQL runs for whoever reads a table: doctor names it."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One of Keydeck's statements."""

    name: str
    judge: Callable[[Play], Iterator[str]]
    prepare: Callable[[Play], None] = lambda play: None
    weight: int = 3
    """How often it is drawn: one that fetches events takes ten times as long."""


def harmed(play: Play, *command: str) -> Iterator[str]:
    """Do harm to the old key, as far as it lets an operator who reads what is printed."""
    ran = play.keydeck(*command, "--yes")
    state = play.key_state()
    play.commit_held()
    under = play.under_old()
    if under and state != "Enabled":
        yield f"{command[1]}: exit {ran.exit_code}, {state}, and it opens {len(under)} values: {under[:3]}"
    if ran.exit_code == 0 and state == "Enabled":
        yield f"{' '.join(command[:2])}: exit 0, and the key is enabled"
    yield from _quiet(play, ran, *command[:2])


def _quiet(play: Play, ran: Ran, *command: str) -> Iterator[str]:
    """What ran in the operator's session without a word, and what was planted where only Keydeck writes."""
    said = ran.stdout + ran.stderr
    for what in play.ran():
        # What a policy calls runs on the path that it sets for itself.
        if what in INHERENT or play.sets_its_path:
            said += play.keydeck("doctor").stdout
        if not any(name in said for name in ("attached", "altered", "instead", "lie_", "emptied")):
            yield f"{' '.join(command)}: exit {ran.exit_code}, and {what} ran unnamed"
    if ran.exit_code == 0 and (tables := play.planted(by=play.ground.operator.name)):
        yield f"{' '.join(command)}: exit 0, and an attack wrote as the operator into {tables}"


def status(play: Play) -> Iterator[str]:
    under = play.under_old()
    ran = play.keydeck("status", "--json")
    if ran.exit_code in (0, 1):
        census = ran.json
        counted = sum(
            share["tokens"] for share in census["keys"] if share["key_arn"] in (None, play.ground.old)
        )
        coverage = census["coverage"]
        where = (
            under
            if coverage.get("elsewhere", "read") == "read"
            else [p for p in under if p.split(".")[-1] in DECLARED]
        )
        if coverage["complete"] and counted < len(where):
            yield f"status: complete, {counted} under the key, and there are {len(where)}: {where[:3]}"
    yield from _quiet(play, ran, "status")


def disable(play: Play) -> Iterator[str]:
    yield from harmed(play, "keys", "disable", play.ground.old)


def deletion(play: Play) -> Iterator[str]:
    yield from harmed(play, "keys", "schedule-deletion", play.ground.old)


def reencrypt(play: Play) -> Iterator[str]:
    tokens = play.readable()
    command = ("reencrypt", "--from", play.ground.old, "--to", play.ground.new, "--yes")
    ran = play.keydeck(*command)
    if "--runs-code" in ran.stderr and (named := re.findall(r"[a-z_]+\.[a-z_]+(?=\()", ran.stderr)):
        # An operator who has read the code agrees to it.
        agreed = [option for name in named for option in ("--runs-code", name)]
        more = play.keydeck(*command, *agreed)
        ran = Ran(more.exit_code, ran.stdout + more.stdout, ran.stderr + more.stderr)
    lost = set(tokens) - set(play.readable())
    kept = play.kept_backups() if lost else set()
    if lost and ran.exit_code == 0:
        yield f"reencrypt: exit 0, and {len(lost)} of {len(tokens)} tokens are lost"
    if lost - kept:
        yield f"reencrypt: exit {ran.exit_code}, {len(lost - kept)} tokens are lost, and no backup holds them"
    left = [place for place in play.under_old() if place.split(".")[-1] in DECLARED]
    if ran.exit_code == 0 and left:
        yield f"reencrypt: exit 0, and {len(left)} values are under the old key: {left[:3]}"
    yield from _quiet(play, ran, "reencrypt")


def _calls(play: Play) -> None:
    """The platform works for days; the thief opens tokens."""
    now = datetime.now(UTC)
    calls = [
        PastCall(
            now - timedelta(days=3, minutes=n),
            access_keys.PLATFORM,
            "GenerateDataKey",
            play.ground.old,
            source_ip="10.20.1.17",
        )
        for n in range(9)
    ]
    calls += [
        PastCall(
            now - timedelta(minutes=3),
            access_keys.INTRUDER,
            "Decrypt",
            play.ground.old,
            source_ip="198.51.100.23",
        )
        for _ in range(30)
    ]
    play.ground.sandbox.control.history(calls)
    play.keydeck("events", "pull")


def block(play: Play) -> Iterator[str]:
    started = play.keydeck(
        *("incident", "start", "key-compromise", "--key", play.ground.old, "--json"),
        *("--since", (datetime.now(UTC) - timedelta(minutes=30)).isoformat()),
    )
    if started.exit_code:
        return
    number = str(started.json["incident"])
    planned = play.keydeck("incident", "next", number, "--step", "block", "--yes", "--json")
    policy = play.policy()
    if planned.exit_code == 0 and THIEF not in policy:
        yield "block: exit 0, the step has ended, and the thief is not refused"
    if "keydeck-platform" in policy.partition("keydeck-block")[2] and "NotIpAddress" not in policy:
        yield "block: the platform is refused from everywhere"
    shown = play.keydeck("incident", "check", number, "--step", "block", "--json")
    if shown.exit_code == 0 and THIEF not in play.policy():
        yield "block: its check passes, and the thief is not refused"


def _request(play: Play) -> None:
    """Ana asks for a second person for the key's disabling; nobody approves."""
    control = play.ground.sandbox.control
    play.patch.setenv("KEYDECK_APPROVALS", "keys disable")
    control.add_principal("ASIAADVERSARYSANA000", "keydeck-operator", "role", "ana")
    kms = play.ground.sandbox.client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    play.patch.setenv("KEYDECK_SIGNING_KEY", key)
    approvals = kms.create_key(Description="approvals")["KeyMetadata"]["Arn"]
    play.patch.setenv("KEYDECK_APPROVALS_KEY", approvals)
    control.add_denial(Denial("*keydeck-operator*", "kms:Sign"))
    play.patch.setenv("AWS_ACCESS_KEY_ID", "ASIAADVERSARYSANA000")
    play.keydeck("keys", "disable", play.ground.old, "--yes")
    listed = play.keydeck("approvals", "list", "--json")
    if listed.exit_code == 0 and listed.json["approvals"]:
        play.notes.insert(0, str(listed.json["approvals"][0]["id"]))


def approvals(play: Play) -> Iterator[str]:
    ran = play.keydeck("keys", "disable", play.ground.old, "--yes")
    if play.key_state() != "Enabled":
        yield f"approvals: exit {ran.exit_code}, the key is disabled, and nobody has approved it"
    for use in play.keydeck("approvals", "list", "--json").json["approvals"] if not ran.exit_code else ():
        if use["decision"] == "approved":
            yield "approvals: a request that nobody approved is listed as approved"


def _signed(play: Play) -> None:
    """The journal has a checkpoint, and an outsider the public key."""
    kms = play.ground.sandbox.client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    play.patch.setenv("KEYDECK_SIGNING_KEY", key)
    public = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (play.folder / "public.pem").write_bytes(pem)
    play.keydeck("journal", "checkpoint", "--yes")


def verify(play: Play) -> Iterator[str]:
    """Journal and tokens: both verifiers and doctor agree, and what is called opened is what opens."""
    ran = play.keydeck("journal", "verify")
    export = play.folder / "export.jsonl"
    exported = play.keydeck("journal", "export", str(export))
    if exported.exit_code == 0 and not is_left_out("console/evidence/"):
        outside = run_outsider("--journal", str(export), "--public-key", str(play.folder / "public.pem"))
        if (ran.exit_code == 1) != (outside.exit_code == 1):
            yield f"verify: exit {ran.exit_code} here, {outside.exit_code} outside: {outside.stdout[-200:]}"
    doctor = play.keydeck("doctor", "--json")
    well = [c for c in doctor.json["checks"] if c["name"] == "journal" and c["outcome"] == "ok"]
    if ran.exit_code == 1 and well:
        yield f"verify: exit 1, and doctor calls the journal well: {well[0]}"
    opened = play.keydeck("verify", "--all", "--json")
    if opened.exit_code == 0:
        there = [p for p in play.readable().values() if p.split(".")[-1] in DECLARED]
        told = opened.json
        number = told.get("opened", told.get("tokens", 0))
        if isinstance(number, int) and number < len(there):
            yield f"verify: exit 0 with {number} opened, and the platform opens {len(there)}"
    yield from _quiet(play, opened, "verify")


def run_outsider(*arguments: str) -> Ran:
    """Run the outsider's program, as it is given out, in this process."""
    from tests.crypto_core.compliance.proof.assembled import assembled

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = assembled().main([*arguments])
        except SystemExit as ended:
            code = ended.code
    return Ran(int(code or 0), out.getvalue(), err.getvalue())


CONCLUSIONS = (
    Conclusion("status", status),
    Conclusion("disable", disable),
    Conclusion("deletion", deletion),
    Conclusion("reencrypt", reencrypt),
    Conclusion("block", block, _calls, 1),
    Conclusion("approvals", approvals, _request),
    Conclusion("verify", verify, _signed),
)
