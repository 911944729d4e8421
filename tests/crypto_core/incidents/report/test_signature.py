"""A signed report proves that it is what was signed, and an unsigned one says why it is none."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest

from crypto_core.guard.signature import Signature
from crypto_core.incidents.report.signature import check_report, digest_of_report, written
from crypto_core.values.errors import KmsAccessDeniedError, ReadOnlyError, RefusedError, SettingsError
from tests.crypto_core.incidents.report.making import SIGNING_KEY, HmacSigner, service_of
from tests.crypto_core.incidents.sample import sample

SIGNER = HmacSigner()


@pytest.fixture(scope="module")
def exported() -> str:
    return service_of(sample(), SIGNER).report(sample().view, "json")


def test_a_report_as_it_was_exported_is_verified(exported: str) -> None:
    document = json.loads(exported)
    assert check_report(exported, SIGNER).proved
    assert check_report(exported.rstrip("\n"), SIGNER).proved
    canonical = json.dumps(
        document["report"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    parts = (b"t", b"incident report"), (b"b", canonical)
    told = b"".join(kind + len(part).to_bytes(8, "big") + part for kind, part in parts)
    whole = b"keydeck signature 1\0" + (2).to_bytes(8, "big") + told
    assert document["sha256"] == hashlib.sha256(whole).hexdigest()
    assert document["signature"]["key_arn"] == SIGNING_KEY
    assert document["unsigned_because"] == ""


def test_any_single_change_of_the_text_fails(exported: str) -> None:
    chance = random.Random(8)
    whole = exported.rstrip("\n")
    letters = [*sorted(set(whole)), "\x00", "\ud800", "é", "\n"]
    for _ in range(150):
        place = chance.randrange(len(whole))
        letter = chance.choice([one for one in letters if one != whole[place]])
        changed = chance.choice(
            [
                whole[:place] + letter + whole[place + 1 :],
                whole[:place] + whole[place + 1 :],
                whole[:place] + letter + whole[place:],
            ]
        )
        assert not check_report(changed, SIGNER).proved, (place, letter)


def forged(exported: str, chance: random.Random) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(exported)
    at: Any = document["report"]
    while True:
        key = chance.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if isinstance(at[key], dict | list) and at[key]:
            at = at[key]
            continue
        at[key] = at[key] + 1 if isinstance(at[key], int) else f"{at[key] or ''}."
        return document


def test_a_changed_report_fails_even_with_a_digest_that_fits_it(exported: str) -> None:
    chance = random.Random(9)
    for _ in range(40):
        document = forged(exported, chance)
        assert "changed" in check_report(written(document), SIGNER).wrong
        document["sha256"] = digest_of_report(document["report"]).hex()
        assert check_report(written(document), SIGNER).wrong == (
            "The signature is not by the configured key over this report."
        )


def test_another_keys_signature_is_not_ours(exported: str) -> None:
    assert not check_report(exported, HmacSigner(b"another")).proved


def test_what_is_said_of_the_signature_can_not_be_changed_either(exported: str) -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"signature": None},
        {"unsigned_because": "It was not needed."},
        {"signature": {"key_arn": SIGNING_KEY, "algorithm": "HMAC_SHA_256", "signature": "AAAA"}},
        {"signature": {"key_arn": SIGNING_KEY, "algorithm": "HMAC_SHA_256", "signature": "="}},
        {"signature": {"key_arn": SIGNING_KEY, "algorithm": "HMAC_SHA_256"}},
        {"signature": {"key_arn": SIGNING_KEY, "algorithm": "HMAC_SHA_256", "signature": 3}},
        {"signature": "yes"},
        {"sha256": None},
        {"report": []},
        {"further": 1},
    )
    for change in changes:
        assert not check_report(written(json.loads(exported) | change), SIGNER).proved, change


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "{" * 50_000, "[" * 200_000, "NaN", '{"report": {}, "report": {}}', "\ud800"],
)
def test_what_is_no_report_is_told_as_such(text: str) -> None:
    assert check_report(text, SIGNER).wrong.startswith("It is not an exported report")


def test_a_name_that_stands_twice_is_refused(exported: str) -> None:
    twice = exported.replace('"report": {', '"report": {"schema": "another",', 1)
    assert "twice" in check_report(twice, SIGNER).wrong


def test_without_a_key_every_form_says_that_it_is_not_signed_and_why() -> None:
    service = service_of(sample())
    forms = service.reports(sample().view)
    assert json.loads(forms["json"])["signature"] is None
    assert "KEYDECK_SIGNING_KEY" in json.loads(forms["json"])["unsigned_because"]
    for form in ("markdown", "html"):
        assert "NOT SIGNED" in forms[form]
        assert "No signing key is configured" in forms[form]
    assert check_report(forms["json"], SIGNER).wrong.startswith("It is not signed, and so proves nothing")
    assert "proves nothing" in service.verify(forms["json"]).wrong


def test_a_signed_report_is_not_judged_without_a_key(exported: str) -> None:
    with pytest.raises(RefusedError, match=f"No signing key.*{SIGNING_KEY}"):
        service_of(sample()).verify(exported)


@pytest.mark.parametrize(
    "refusal",
    [
        KmsAccessDeniedError("role/oncall may not sign.", operation="Sign", action="kms:Sign"),
        ReadOnlyError("Cannot sign: Keydeck is in read-only mode."),
        SettingsError("KMS key alias/x can't sign."),
    ],
)
def test_a_key_that_does_not_sign_costs_the_signature_and_not_the_report(refusal: Exception) -> None:
    class Refusing(HmacSigner):
        def sign(self, digest: bytes) -> Signature:
            raise refusal

    service = service_of(sample(), Refusing())
    document = json.loads(service.report(sample().view, "json"))
    assert document["signature"] is None
    assert document["unsigned_because"] == str(refusal)
    assert document["report"]["head"]["name"] == "INC-7"


def test_the_service_verifies_what_it_exported(exported: str) -> None:
    check = service_of(sample(), SIGNER).verify(exported)
    assert (check.wrong, check.name, check.key_arn) == ("", "INC-7", SIGNING_KEY)
    assert check.sha256 == json.loads(exported)["sha256"]


def test_what_a_foreign_report_tells_is_cleaned() -> None:
    hostile = "[/red]\x1b[31m\u202e" + "x" * 9_000
    report = {"head": {"name": hostile, "state": hostile, "made_at": 7}}
    signature = {"key_arn": hostile, "algorithm": hostile, "signature": "AAAA"}
    whole = {"report": report, "signature": signature, "unsigned_because": ""}
    check = check_report(written(whole | {"sha256": digest_of_report(report).hex()}), SIGNER)
    assert check.wrong == "The signature is not by the configured key over this report."
    for text in (check.name, check.state, check.key_arn, check.algorithm):
        assert text.startswith("[/red][31m")
        assert len(text) <= 300
        assert text.isprintable()
