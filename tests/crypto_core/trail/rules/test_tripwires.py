"""Decoys that were opened, by made-up records: whose key, whose row, who else is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crypto_core.database.tokens.decoys import Decoy, Decoys, DecoyToken
from crypto_core.envelope import Format
from crypto_core.findings.finding import Severity
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.store import EventStore
from tests.crypto_core.trail.records import ACCOUNT, KEY, NOW, OTHER_KEY, read, record
from tests.crypto_core.trail.rules.watching import ALIASES, CONFIGURED, of

RULE = "event-tripwire-opened"
OWN = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0badc0de-0000-4000-8000-000000000000"
FORMER = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0badc0de-0000-4000-8000-000000000001"
CONTEXT = {"keydeck:table": "gh_connection", "keydeck:column": "access_token", "keydeck:id": "gh-7"}


def decoy(format_: Format, key: str, row_id: str = "gh-7", number: int = 1) -> Decoy:
    return Decoy(number, "gh_connection", row_id, key, format_, (DecoyToken("access_token", b"d", b"t"),))


DECOYS = Decoys(
    (decoy(Format.V1, OWN), decoy(Format.V2, KEY, number=2), decoy(Format.V2, OTHER_KEY, "gh-8", number=3)),
    former=((FORMER, 9),),
)


def said(folder: Path, records: list[Mapping[str, Any]], decoys: Decoys = DECOYS) -> Any:
    folder.mkdir(exist_ok=True)
    store = EventStore(folder / "events.sqlite", clock=lambda: NOW)
    store.add([read(one) for one in records])
    rules = TrailRules(
        store, CONFIGURED, aliases=lambda: ALIASES, clock=lambda: NOW, decoys=lambda anew=False: decoys
    )
    examined = rules.examine_events(until=NOW + timedelta(seconds=1))
    store.close()
    return examined


def test_the_own_key_the_row_and_a_removed_tripwires_key_trip_and_nothing_else_does(tmp_path: Path) -> None:
    context = {"encryptionContext": CONTEXT}
    other = {"encryptionContext": CONTEXT | {"keydeck:id": "gh-9"}}
    assert of(said(tmp_path, [record(), record(requestParameters=other)]), RULE) == []
    examined = said(
        tmp_path,
        [
            *(record() for _ in range(3)),
            record(key=OWN),
            record(key=FORMER),
            record(requestParameters=context),
        ],
    )
    (finding,) = of(examined, RULE)
    assert finding.severity is Severity.CRITICAL
    assert finding.title.endswith("opened a decoy of tripwire 1, 9, 2")
    assert finding.subject == KEY
    assert OWN not in finding.evidence
    assert len(finding.events) == 3


def test_a_refused_attempt_is_high_and_what_only_reads_about_the_key_is_nothing(tmp_path: Path) -> None:
    (finding,) = of(said(tmp_path, [record(key=OWN, errorCode="AccessDenied")]), RULE)
    assert (finding.severity, "tried to open" in finding.title) == (Severity.HIGH, True)
    looked = said(tmp_path / "other", [record("DescribeKey", key=OWN), record("GenerateDataKey", key=OWN)])
    assert of(looked, RULE) == []


@pytest.mark.parametrize("hostile", ["[/red]\x1b[31m\u202e", "\x00" + "x" * 1_000_000])
def test_a_hostile_record_is_data(tmp_path: Path, hostile: str) -> None:
    (finding,) = of(said(tmp_path, [record(key=OWN, userAgent=hostile, sourceIPAddress=hostile)]), RULE)
    assert not {"\x1b", "\u202e", "\x00"} & set(finding.evidence + finding.title)
    assert len(finding.evidence) <= 1_000


def test_where_the_list_cannot_be_read_that_is_a_gap(tmp_path: Path) -> None:
    examined = said(tmp_path, [record()], Decoys(unreadable="The list of tripwires can't be read: down."))
    assert "Tripwires: The list of tripwires can't be read: down." in examined.coverage.reasons
