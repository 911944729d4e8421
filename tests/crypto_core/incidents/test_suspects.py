"""Whom an incident is about, by findings and events, which is not the platform as a matter of course."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from crypto_core.incidents import suspects
from crypto_core.incidents.model import Incident, IncidentScope, IncidentState, finding_origin
from crypto_core.incidents.runbooks.library import RunbookLibrary
from crypto_core.incidents.scope_check import checked_scope
from crypto_core.incidents.suspects import MOST, Suspect, Suspects, SuspectSearch
from crypto_core.trail.rules.service import TrailRules
from crypto_core.trail.store import EventStore
from crypto_core.values.errors import EventStoreError, KmsError, RefusedError
from crypto_core.values.json_records import record_of
from tests.crypto_core.trail.records import ACCOUNT, KEY, NOW, read, record, role, user
from tests.crypto_core.trail.rules.watching import ALIASES, CONFIGURED, DAY, change, normal

IAM = f"arn:aws:iam::{ACCOUNT}"
PLATFORM, BOT, ON_CALL = f"{IAM}:role/platform", f"{IAM}:user/build-bot", f"{IAM}:role/oncall"
OUTSIDE, OFFICE, KALI = "198.51.100.77", "203.0.113.24", "aws-cli/1.22.34 Python/3.10.12 Linux/6.5.0-kali3"


def bot(name: str = "build-bot", **more: Any) -> dict[str, Any]:
    return user(name, accessKeyId=f"AKIA{name.upper()}", **more)


def service(name: str, session: str = "s-1") -> dict[str, Any]:
    return role(name, f"{name}-{session}", accessKeyId=f"ASIA{name.upper()}")


def from_outside(*names: str, who: Mapping[str, Any] | None = None, ago: float = 600, **more: Any) -> Any:
    at = {"sourceIPAddress": OUTSIDE, "userAgent": KALI} | more
    return [record(name, who=who or bot(), ago=ago - n, **at) for n, name in enumerate(names)]


def writes() -> list[dict[str, Any]]:
    """The platform as it is every day: it opens tokens, and makes data keys."""
    return [*normal(), record("GenerateDataKey", ago=DAY * 2), record("GenerateDataKey", ago=300)]


Ask = Callable[..., Suspects]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Ask for the suspects of an incident about the key that was declared now, where a store has records."""
    number = count()

    def suspects(
        records: Iterable[Mapping[str, Any]], *, me: str = ON_CALL, key: str = KEY, **scope: Any
    ) -> Suspects:
        store = EventStore(tmp_path / f"{next(number)}.sqlite", clock=lambda: NOW)
        store.add([read(one) for one in records])
        rules = TrailRules(
            store, CONFIGURED, aliases=lambda: ALIASES, clock=lambda: NOW + timedelta(seconds=1)
        )
        about = IncidentScope(key=key, **scope)
        incident = Incident(7, "Key", IncidentState.OPEN, about, NOW, "ana")
        try:
            return SuspectSearch(store, rules, lambda: me, clock=lambda: NOW).suspects_of(incident)
        finally:
            store.close()

    return suspects


def names(found: Suspects) -> set[str]:
    return {one.name for one in found.found}


def why(found: Suspects, arn: str) -> str:
    one = found.named(arn)
    assert one is not None
    return "; ".join(one.why)


def test_who_a_finding_of_any_severity_names_is_a_suspect_and_the_platform_is_not(ask: Ask) -> None:
    found = ask([*writes(), *from_outside("Decrypt", "Decrypt", ago=900)])
    (suspect,) = found.found
    assert (suspect.arn, suspect.calls, suspect.last) == (BOT, 2, NOW - timedelta(seconds=899))
    assert any("decrypted for the first time" in title for title in suspect.findings)
    # A store of a day has no baseline: what names a person is a low finding, and enough.
    young = ask([record("GenerateDataKey", ago=300), *from_outside("Decrypt")])
    assert names(young) == {"user/build-bot"}
    assert any("no baseline" in gap for gap in young.gaps)


def test_a_deployment_makes_no_suspect_of_the_platform_but_what_points_to_stolen_credentials_does(
    ask: Ask,
) -> None:
    deployed = [record(userAgent="aws-sdk-go-v2/1.30", ago=60), record(sourceIPAddress=OFFICE, ago=50)]
    moved = [record(userAgent="aws-sdk-go-v2/1.30", sourceIPAddress="10.99.1.1", ago=40)]
    denials = [record(ago=n, errorCode="AccessDenied", requestParameters=None) for n in range(30, 60)]
    assert names(ask([*writes(), *deployed[:1]])) == set()
    assert names(ask([*writes(), *deployed[1:]])) == set()
    assert names(ask([*writes(), *moved, *denials])) == set()
    stolen = ask([*writes(), *from_outside("Decrypt", who=role())])
    assert names(stolen) == {"role/platform"}
    assert "new network" in why(stolen, PLATFORM)
    assert "software it never used" in why(stolen, PLATFORM)


def test_that_much_is_opened_speaks_against_the_platform_only_where_it_is_known_what_was_usual(
    ask: Ask,
) -> None:
    busy = [record(ago=60 + n) for n in range(250)]
    assert names(ask([record("GenerateDataKey", ago=300), *busy])) == set()
    assert names(ask([*writes(), *busy])) == {"role/platform"}


def test_who_got_access_since_is_a_suspect(ask: Ask) -> None:
    def policy(*arns: str) -> dict[str, Any]:
        statements = [
            {"Effect": "Allow", "Principal": {"AWS": a}, "Action": "kms:*", "Resource": "*"} for a in arns
        ]
        return {"policy": json.dumps({"Version": "2012-10-17", "Statement": statements})}

    metrics, robot, helper = f"{IAM}:user/metrics", f"{IAM}:user/robot", f"{IAM}:role/helper"
    grant = {"granteePrincipal": metrics, "operations": ["Decrypt"]}
    ana = service("ana")
    found = ask(
        [
            *writes(),
            change("PutKeyPolicy", policy(f"{IAM}:root", PLATFORM), who=ana, ago=DAY * 3),
            change("CreateGrant", grant, who=ana, ago=DAY * 3) | {"eventID": "of-before"},
            change("CreateGrant", grant | {"granteePrincipal": metrics}, who=ana, ago=500),
            change("CreateGrant", grant | {"granteePrincipal": "rds.amazonaws.com"}, who=ana, ago=490),
            change("PutKeyPolicy", policy(f"{IAM}:root", PLATFORM, robot), who=ana, ago=480),
            *from_outside("Decrypt"),
            change(
                "AssumeRole",
                {"roleArn": helper},
                who=bot(),
                key=None,
                ago=400,
                eventSource="sts.amazonaws.com",
            ),
        ]
    )
    assert {metrics, robot, helper, BOT} <= set(found.arns)
    assert PLATFORM not in found.arns
    assert "got a grant on the key from role/ana on 2026-11-25 at 11:51 UTC" in why(found, metrics)
    assert "got access by the policy that role/ana put" in why(found, robot)
    assert "assumed by user/build-bot" in why(found, helper)
    # Where the policy before is not known, who wrote itself into the new one let itself in.
    alone = ask([change("PutKeyPolicy", policy(robot, PLATFORM), who=bot("robot"), ago=480)], key=KEY)
    assert robot in alone.arns
    assert PLATFORM not in alone.arns


def test_accomplices_share_an_address_a_key_or_a_session_but_not_an_office(ask: Ask) -> None:
    shared = role("nightly", "one-session", accessKeyId="ASIANIGHTLY")
    same_session = role("other", "one-session", accessKeyId="ASIAOTHER")
    behind_nat = [record(sourceIPAddress=OFFICE, ago=DAY * 2), record(sourceIPAddress=OFFICE, ago=100)]
    found = ask(
        [
            *writes(),
            *behind_nat,
            *from_outside("Decrypt", ago=900),
            record(who=bot(), sourceIPAddress=OFFICE, ago=800),
            record(who=bot(), sourceIPAddress="127.0.0.1", ago=790),
            record("ListKeys", who=service("laptop"), sourceIPAddress=OUTSIDE, ago=700),
            record(who=shared, sourceIPAddress="10.20.1.17", ago=600),
            record("ListKeys", who=same_session, ago=500),
        ]
    )
    assert {"user/build-bot", "role/laptop", "role/nightly", "role/other"} == names(found)
    # Where the intruder came from earlier than anybody thought is a trace all the same.
    early = [*writes(), *from_outside("Decrypt", ago=DAY * 2), *from_outside("Decrypt", ago=900)]
    laptop = record("ListKeys", who=service("laptop"), sourceIPAddress=OUTSIDE, ago=700)
    assert "role/laptop" in names(ask([*early, laptop]))
    assert f"shares the address {OUTSIDE} with user/build-bot" in why(found, f"{IAM}:role/laptop")
    assert "shares the session name one-session with role/nightly" in why(found, f"{IAM}:role/other")


def test_a_platform_that_was_first_behind_an_address_is_at_home_there(ask: Ask) -> None:
    nat = {"sourceIPAddress": OFFICE}
    young = [record(ago=900 - n, **nat) for n in range(9)] + [record("GenerateDataKey", ago=950, **nat)]
    intruder = [record(who=bot(), ago=600, **nat)]
    assert names(ask([*young, *intruder])) == {"user/build-bot"}
    # Not where the stolen credentials came after the thief, or are used from there besides.
    late = [record(ago=120, sourceIPAddress=OUTSIDE)]
    assert names(ask([*young, *from_outside("Decrypt"), *late])) == {"user/build-bot", "role/platform"}


def test_whom_the_incident_was_declared_from_is_a_suspect_whoever_it_is(ask: Ask, tmp_path: Path) -> None:
    assert names(ask(writes(), principal=PLATFORM)) == {"role/platform"}
    mine = change("PutKeyPolicy", {"policy": "{}"}, who=service("oncall"), ago=60)
    assert names(ask([*writes(), mine])) == set()
    store = EventStore(tmp_path / "other.sqlite", clock=lambda: NOW)
    store.add([read(mine)])
    rules = TrailRules(store, CONFIGURED, aliases=lambda: ALIASES, clock=lambda: NOW)
    finding = next(f for f in rules.examine_events().findings if f.rule == "event-key-policy")
    store.close()
    assert finding.subject == KEY
    declared = ask([*writes(), mine], origin=finding_origin(finding))
    assert "the incident was declared from" in why(declared, ON_CALL)


def test_who_works_with_keydeck_is_none_for_its_own_work_and_who_did_something_grave_is(ask: Ask) -> None:
    work = [record(who=service("oncall"), ago=60 + n, sourceIPAddress=OUTSIDE) for n in range(300)]
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/oncall/ana"
    assert names(ask([*writes(), *work], me=session)) == set()
    assert names(ask([*writes(), *work], me=f"{IAM}:role/somebody")) == {"role/oncall"}
    disabled = change("DisableKey", who=service("cleaner"), ago=30)
    assert names(ask([*writes(), disabled], me=session)) == {"role/cleaner"}


def test_without_events_or_with_a_store_that_fails_the_gap_says_so(ask: Ask, tmp_path: Path) -> None:
    nothing = ask([])
    assert nothing.found == ()
    assert "the store has none at all" in nothing.gaps[0]

    def fails(*_: object) -> Any:
        raise EventStoreError("The file is\x1b[2J damaged.")

    def who() -> str:
        raise KmsError("Expired.", operation="GetCallerIdentity")

    store = EventStore(tmp_path / "broken.sqlite", clock=lambda: NOW)
    search = SuspectSearch(store, TrailRules(store, clock=lambda: NOW), who, clock=lambda: NOW)
    incident = Incident(7, "Key", IncidentState.OPEN, IncidentScope(key=KEY), NOW, "ana")
    assert search.suspects_of(incident).found == ()
    object.__setattr__(store, "state", fails)
    (gap,) = search.suspects_of(incident).gaps
    assert gap.startswith("Who is suspected is not known: The file is[2J damaged.")
    store.close()


def test_what_was_not_looked_at_is_a_gap(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crypto_core.incidents.suspects.MOST_EVENTS", 1)
    monkeypatch.setattr(suspects, "MOST_PAIRS", 1)
    grant = {"granteePrincipal": f"{IAM}:user/metrics", "operations": ["Decrypt"]}
    grants = [change("CreateGrant", grant, who=bot(), ago=ago) for ago in (500, 400)]
    theirs = [record("ListKeys", who=service("laptop"), sourceIPAddress=OUTSIDE, ago=n) for n in (300, 200)]
    gaps = "\n".join(ask([*writes(), *grants, *theirs, *from_outside("Decrypt", "Decrypt")]).gaps)
    assert "of the changes of who may use the key only the last 1 were looked at" in gaps
    assert "pairs of a principal and its address were not looked at" in gaps


def test_an_account_gives_access_to_its_suspects_and_of_too_many_nobody_is_proposed() -> None:
    suspects = Suspects((Suspect(BOT, ("[/red]\x1b]0;owned\x07",)),))
    assert "\x1b" not in json.dumps(suspects.as_json(), ensure_ascii=False)
    assert suspects.named(f"{IAM}:root") == suspects.found[0]
    assert suspects.named("arn:aws:iam::999999999999:root") is None
    assert suspects.without((PLATFORM, BOT)) == (PLATFORM,)
    full = Suspects(suspects.found * MOST, more=2)
    assert full.without((PLATFORM,)) == ()
    assert full.as_json()["suspects_coverage"] == {
        "complete": False,
        "reasons": ["2 more suspects are not listed"],
    }


def test_a_scope_keeps_whom_it_was_declared_from_and_takes_no_nonsense() -> None:
    book = RunbookLibrary(None).get("key-compromise")
    scope = checked_scope(book, IncidentScope(key=KEY, principal=BOT))
    assert record_of(IncidentScope, scope.as_json()) == scope
    with pytest.raises(RefusedError, match="not an IAM role") as refused:
        checked_scope(book, IncidentScope(key=KEY, principal="build-bot\x1b[2J"))
    assert "\x1b" not in str(refused.value)
