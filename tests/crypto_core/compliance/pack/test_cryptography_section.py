"""A pack's page has which algorithms protect what, connections, signing keys and FIPS mode."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from crypto_core.compliance.algorithms.algorithm import HowKnown
from crypto_core.compliance.facts import CryptographyFacts
from crypto_core.compliance.pack.report import html_report, markdown_report
from crypto_core.compliance.pack.sections import cryptography
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.reports.cells import ShownSection
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.algorithms.facts import ENDPOINT
from tests.crypto_core.compliance.pack.making import CATALOGUES, CONTEXT, made_period
from tests.crypto_core.compliance.snapshots import SEALS, WELL
from tests.crypto_core.openssls import MODULES

TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
C = SnapshotPart.CRYPTOGRAPHY


def with_facts(found: CryptographyFacts | MissingPart) -> AuditPeriod:
    period = made_period(2, (), off=())
    last = period.records[-1]
    snapshot = replace(last.snapshot, parts={**last.snapshot.parts, C: found})
    return replace(period, records=(period.records[0], replace(last, snapshot=snapshot)))


def texts(section: ShownSection) -> str:
    rows = [cell.lines for table in section.tables for row in table.rows for cell in row]
    return json.dumps([section.lead, [(one.name, one.value.lines) for one in section.facts], rows])


def test_all_of_it_stands_on_the_page() -> None:
    facts = WELL[C]
    assert isinstance(facts, CryptographyFacts)
    period = with_facts(facts)
    told = texts(cryptography(period))
    for words in (
        "seals tokens in format v2",
        "100 tokens",
        "256-bit key",
        "No known quantum attack breaks it (NIST category 5).",
        "ECC_NIST_P256",
        "kms.eu-west-1.amazonaws.com:443",
        "X25519MLKEM768",
        "TLS_AES_128_GCM_SHA256",
        "RSA 2048",
        "until 2027-09-21",
        "required, active",
        "used for 0 of 1 endpoint",
    ):
        assert words in told, words
    for page in (html_report, markdown_report):
        text = page(period, replace(CONTEXT, catalogues=CATALOGUES)).decode()
        assert "seals tokens in format v2" in text
        assert "X25519MLKEM768" in text


@pytest.mark.parametrize(
    ("modes", "required", "told"),
    [
        ((True, False), True, "required; not active, or not known, in the cryptography package"),
        ((True, None), True, "required; not active, or not known, in the cryptography package"),
        ((False, False), False, "not required"),
    ],
)
def test_fips_mode_is_told_with_where_it_lacks(
    modes: tuple[bool | None, ...], required: bool, told: str
) -> None:
    modules = tuple(replace(one, fips=mode) for one, mode in zip(MODULES, modes, strict=True))
    section = cryptography(with_facts(CryptographyFacts((SEALS,), modules=modules, fips_required=required)))
    assert section.facts[0].value.text.startswith(told)


def test_what_is_not_known_is_said_and_no_part_is_no_empty_inventory() -> None:
    missing = cryptography(with_facts(MissingPart(Lack.FAILED, clean("KMS is silent"))))
    assert (missing.lead, missing.tables) == ("Not known: KMS is silent.", ())
    odd = replace(SEALS, classical_bits=None, known=HowKnown.POSSIBILITY, protects=())
    silent = replace(
        ENDPOINT, protocol=None, cipher=None, group=None, certificate=None, problem=clean("no answer")
    )
    found = CryptographyFacts(
        (odd,), endpoints=(silent,), gaps=(clean("tokens: [/red] no grant"), clean(f"a {TOKEN}"))
    )
    told = texts(cryptography(with_facts(found)))
    for words in ("possibility", "nothing", "no answer", "not known", "tokens: [/red] no grant"):
        assert words in told
    assert TOKEN not in told
    assert cryptography(replace(with_facts(found), records=())).lead.startswith("Not known: ")
