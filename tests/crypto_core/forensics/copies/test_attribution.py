"""Keys of copies: one question a key material, none once KMS is silent, and never a key that nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from crypto_core.database.tokens.attribution_cache import Wrapping
from crypto_core.database.tokens.decoys import Decoy, Decoys, DecoyToken
from crypto_core.database.tokens.store import digest
from crypto_core.envelope import EnvelopeV1, Format, edk_prefix
from crypto_core.forensics.copies import tally
from crypto_core.forensics.copies.attribution import MOST_DECOYS, NOT_ASKED, TOO_MANY, CopyAttribution
from crypto_core.forensics.copies.report import CopyReport, KeyEvidence, Opening
from crypto_core.forensics.copies.scan import ScanOfCopy
from crypto_core.forensics.copies.values import FoundValue
from crypto_core.keys.state import KeyState
from crypto_core.values import errors
from crypto_core.values.clean_text import clean
from tests.crypto_core.forensics.copies.values import KEY_ARN, encrypted_data_key, found_in, v1, v2

MULTI_REGION = f"arn:aws:kms:eu-west-1:111122223333:key/mrk-{'1' * 32}"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass
class Kms:
    """What stands for KMS: it names one key for all, and counts what it is asked."""

    failure: Callable[[], errors.KmsError] | None = None
    wrapping: Wrapping = (KEY_ARN, "m1")
    state: str | Callable[[], errors.KmsError] = "Enabled"
    asked: list[bytes] = field(default_factory=list)
    described: list[str] = field(default_factory=list)

    def ask(self, encrypted_data_key: bytes) -> Wrapping:
        self.asked.append(encrypted_data_key)
        if self.failure is not None:
            raise self.failure()
        return self.wrapping

    def describe(self, key_arn: str) -> KeyState:
        self.described.append(key_arn)
        if not isinstance(self.state, str):
            raise self.state()
        return KeyState(key_arn, "eu-west-1", state=clean(self.state))


def scan_of(*encrypted_data_keys: bytes, values: bytes = b"") -> ScanOfCopy:
    """A scan that found v1 envelopes with these encrypted data keys, and what stands in `values`."""
    scan = ScanOfCopy("copy")
    for number, key in enumerate(encrypted_data_keys):
        envelope = EnvelopeV1(key, b"n" * 12, b"c" * 17)
        found = FoundValue(1, Format.V1, text=str(number).encode(), envelope=envelope)
        scan.tally.count(found, "copy", number)
    for at, value in found_in(values):
        scan.tally.count(value, "copy", at)
    return scan


def report_of(kms: Kms, *scans: ScanOfCopy, **known: dict[bytes, frozenset[Wrapping]]) -> CopyReport:
    answers = known.get("known", {})
    return CopyAttribution(lambda: answers, kms.ask, kms.describe).report(scans, NOW).copies[0]


def test_one_member_of_each_key_material_is_asked_about_and_no_key_twice() -> None:
    kms = Kms()
    keys = [encrypted_data_key(material) for material in (b"a", b"a", b"b", b"a")]
    report = report_of(kms, scan_of(*keys), scan_of(*keys))
    assert (len(kms.asked), len(kms.described)) == (2, 1)
    assert sum(need.envelopes for need in report.needs) == 4
    assert {need.evidence for need in report.needs} == {KeyEvidence.INFERRED}
    assert report.lost_with(KEY_ARN) == report.opened_by(Opening.CALLERS) == 4


def test_what_is_remembered_is_not_asked_and_answers_that_disagree_are_a_conflict() -> None:
    kms, key = Kms(), encrypted_data_key()
    prefix = edk_prefix(key)
    assert prefix is not None
    (need,) = report_of(kms, scan_of(key), known={prefix: frozenset({(KEY_ARN, "m2")})}).needs
    assert (need.key_material_id, kms.asked) == ("m2", [])
    both = {prefix: frozenset({(KEY_ARN, "m2"), (MULTI_REGION, None)})}
    report = report_of(kms, scan_of(key), known=both)
    assert [(n.key_arn, n.evidence) for n in report.needs] == [(None, KeyEvidence.CONFLICT)]
    assert not report.coverage.complete


def test_v2_names_its_key_and_is_never_asked_about() -> None:
    kms = Kms(wrapping=(MULTI_REGION, "m1"))
    (need,) = report_of(kms, scan_of(values=v2())).needs
    assert (need.key_arn, need.evidence, kms.asked) == (KEY_ARN, KeyEvidence.NAMED, [])


def test_a_damaged_member_makes_the_next_one_worth_a_question() -> None:
    kms = Kms(lambda: errors.InvalidCiphertextError("KMS does not take it."))
    report = report_of(kms, scan_of(*(encrypted_data_key() for _ in range(9))))
    assert len(kms.asked) == tally.MOST_SAMPLES
    assert report.opened_by(Opening.UNKNOWN) == 9
    assert "KMS does not take it." in report.coverage.reasons[0]


def test_once_kms_is_silent_nothing_more_is_asked() -> None:
    kms = Kms(lambda: errors.KmsUnreachableError("No route."))
    report = report_of(kms, scan_of(*(encrypted_data_key(bytes([65 + n])) for n in range(5)), values=v2()))
    assert len(kms.asked) + len(kms.described) == 1
    assert report.opened_by(Opening.UNKNOWN) == 6
    denied = Kms(lambda: errors.KmsAccessDeniedError("Not allowed."))
    report_of(denied, scan_of(*(encrypted_data_key(bytes([65 + n])) for n in range(5))))
    assert len(denied.asked) == 5


STATES = {
    "Enabled": Opening.CALLERS,
    "Disabled": Opening.NOT_NOW,
    "PendingDeletion": Opening.NOT_NOW,
    "Unavailable": Opening.NOT_NOW,
    "": Opening.UNKNOWN,
}


@pytest.mark.parametrize("state", STATES)
def test_the_state_of_a_key_says_who_can_open(state: str) -> None:
    report = report_of(Kms(state=state), scan_of(encrypted_data_key()))
    assert [o for o in Opening if report.opened_by(o)] == [STATES[state]]


@pytest.mark.parametrize(("key_arn", "opening"), [(KEY_ARN, Opening.NEVER), (MULTI_REGION, Opening.UNKNOWN)])
def test_what_is_under_a_key_that_is_gone_is_lost_unless_a_replica_may_be_left(
    key_arn: str, opening: Opening
) -> None:
    kms = Kms(wrapping=(key_arn, None), state=lambda: errors.KeyNotFoundError("There is none."))
    report = report_of(kms, scan_of(encrypted_data_key()))
    assert [o for o in Opening if report.opened_by(o)] == [opening]


def test_decoys_are_never_asked_about_nor_what_may_be_those_of_a_removed_tripwire() -> None:
    kms, decoy = Kms(), v1(material=b"d")
    row = Decoy(1, "gh", "7", MULTI_REGION, Format.V1, (DecoyToken("t", digest(decoy.decode()), b""),))

    def report(decoys: Decoys, scan: ScanOfCopy) -> CopyReport:
        told = CopyAttribution(dict, kms.ask, kms.describe, decoys=lambda *, anew=False: decoys)
        return told.report([scan], NOW).copies[0]

    (need,) = report(Decoys((row,)), scan_of(values=decoy + b" " + v1(material=b"d"))).needs
    assert (need.key_arn, need.envelopes, kms.asked) == (MULTI_REGION, 2, [])
    for doubt in (Decoys(former=((MULTI_REGION, 1),)), Decoys(unreadable="It is not Keydeck's.")):
        (need,) = report(doubt, scan_of(values=v1())).needs
        assert (need.key_arn, need.note, kms.asked) == (None, NOT_ASKED, [])
    many = scan_of(*(encrypted_data_key() for _ in range(MOST_DECOYS + 1)))
    assert report(Decoys(former=((MULTI_REGION, 1),)), many).key_arns == (KEY_ARN,)
    assert "tripwire" not in str(report(Decoys((row,)), scan_of(values=decoy)).as_json())


def test_offline_nobody_is_asked() -> None:
    report = CopyAttribution(dict).report([scan_of(encrypted_data_key(), b"no header")], NOW)
    assert report.offline
    (copy,) = report.copies
    assert {need.note for need in copy.needs} >= {NOT_ASKED}
    assert copy.opened_by(Opening.UNKNOWN) == 2


def test_whoever_writes_a_copy_does_not_decide_how_often_kms_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally, "MOST_GROUPS", 20)
    monkeypatch.setattr("crypto_core.forensics.copies.attribution.MOST_ASKED", 5)
    kms = Kms()
    keys = [bytes.fromhex("0102020078") + n.to_bytes(32, "big") + b"x" * 40 for n in range(60)]
    report = report_of(kms, scan_of(*keys))
    assert len(kms.asked) + len(kms.described) <= 5
    assert (report.envelopes, len(report.needs)) == (60, 21)
    assert any(need.note == TOO_MANY and need.envelopes == 40 for need in report.needs)
