"""Every question of the manual is answered by its line, over a store whose answers are known."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console.manual.book import source
from crypto_core.database.tokens.inventory import FIELDS as OF_TOKENS
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.query import FIELDS as OF_EVENTS
from crypto_core.trail.store import EventStore
from tests.conftest import Ran
from tests.crypto_core.trail import records
from tests.crypto_core.trail.records import context, denied, event, read, role, user

NOW = datetime.now(UTC).replace(microsecond=0)
FOREIGN = "arn:aws:kms:eu-west-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321"
OUTSIDE = {"sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli/2.15 md/prompt#off"}
INSIDE = {"vpcEndpointId": "vpce-1"}
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
"""Stands for a key's id, as AWS's documentation has it."""
ANSWERS = dict(re.findall(r"^\*\*(.*)\*\*\n\n(?:```sh\n)?(.*)$", source("questions"), re.MULTILINE))
"""By question the line that answers it, or a sentence."""
LINES = {asked: line for asked, line in ANSWERS.items() if line.startswith("keydeck events ")}

EXPECTED = {
    "Who opened the token of row gh-42?": 2,
    "Which tokens did a principal open?": 2,
    "How many different tokens did each open?": 4,
    "Who opened more than 3 different tokens in one hour?": 1,
    "Which tokens of one table were opened?": 1,
    "Which openings name no token (v1)?": 2,
    "Who seals new tokens?": 2,
    "Which calls were denied?": 4,
    "Who is denied most, and with which error?": 1,
    "Which calls failed, throttling aside?": 5,
    "What do the messages say?": 2,
    "Who lacks the right to Decrypt?": 3,
    "Who was denied three times or more?": 1,
    "Who tries many operations and is denied?": 1,
    "What was denied that nobody has reviewed?": 3,
    "What did people open, rather than roles?": 6,
    "What did root do?": 1,
    "What was done with credentials of the console?": 1,
    "Which changes did people make without MFA?": 3,
    "What did people do at night?": 1,
    "What did people do on weekends?": 1,
    "And outside office hours or on weekends?": 2,
    "At which hours does somebody work?": 4,
    "What did one role do in the last day?": 1,
    "Who changed a key policy?": 2,
    "Which policies let everybody in?": 1,
    "Who bypassed the lockout check?": 1,
    "Which grants went to other accounts?": 1,
    "Which grants allow Decrypt?": 1,
    "Which keys are to be deleted?": 2,
    "Which of them within a week?": 1,
    "Who disabled a key, or enabled one again?": 2,
    "Who moved, made or deleted an alias?": 1,
    "Is a retired key used?": 15,
    "Is old key material used?": 15,
    "Who uses a key?": 7,
    "When was each key first and last used?": 3,
    "Who re-encrypted to a key of another account?": 1,
    "Who replicated a key or imported material?": 1,
    "What came from outside our networks?": 5,
    "What came from one address?": 6,
    "From which addresses does a role work?": 1,
    "Which access keys work from more than one address?": 1,
    "What did a role do past our VPC endpoint?": 1,
    "Who speaks TLS older than 1.2?": 1,
    "What was done by hand, with a command line?": 8,
    "When did a role use another library than usual?": 1,
    "Which sessions does a role have?": 2,
    "What did one session do?": 1,
    "What happened in Regions that we don't use?": 1,
    "What did foreign accounts do?": 1,
    "Who stopped or changed logging?": 1,
    "What do AWS services do in our name?": 2,
    "How many calls a day?": 3,
    "Who made more than four calls in one hour?": 3,
}


def last(weekday: int, hour: int) -> datetime:
    """The last such moment that is past, with the day after it."""
    day = (NOW - timedelta(days=2)).replace(hour=0, minute=0, second=0)
    return day - timedelta(days=(day.weekday() - weekday) % 7) + timedelta(hours=hour)


WEDNESDAY, SATURDAY = last(2, 0), last(5, 14)


def at(hour: int, minute: int, name: str = "Decrypt", **more: Any) -> TrailEvent:
    return _made(WEDNESDAY + timedelta(hours=hour, minutes=minute), name, **more)


def _made(moment: datetime, name: str = "Decrypt", **more: Any) -> TrailEvent:
    return event(name, eventTime=moment.strftime("%Y-%m-%dT%H:%M:%SZ"), **more)


def refused(hour: int, minute: int, name: str) -> TrailEvent:
    moment = WEDNESDAY + timedelta(hours=hour, minutes=minute)
    return read(denied(name, eventTime=moment.strftime("%Y-%m-%dT%H:%M:%SZ"), **OUTSIDE))


def asked(**parameters: Any) -> dict[str, Any]:
    return {"requestParameters": parameters}


def _seed() -> Iterator[TrailEvent]:
    ana = user("ana", accessKeyId="AKIAANA")
    admin = role("AWSReservedSSO_Admin_1", "eve")
    admin["sessionContext"]["attributes"]["mfaAuthenticated"] = "true"
    yield from (at(10, n, context=context(f"gh-{n}"), **INSIDE) for n in range(5))
    yield at(10, 10, errorCode="ThrottlingException", context=context("gh-1"), **INSIDE)
    yield at(10, 11, errorCode="InvalidCiphertextException", context=context("gh-1"), **INSIDE)
    yield at(11, 0, context=context("gh-42"), **INSIDE)
    yield at(13, 0, context=context("j-1", table="jira_connection"), **INSIDE)
    yield from (at(12, n, context=context(f"gh-{n}"), who=user(), **OUTSIDE) for n in (42, 43))
    yield from (refused(12, n, "Decrypt") for n in (10, 11, 12))
    yield refused(12, 13, "CreateGrant")
    yield at(23, 30, who=ana, userAgent="curl/8")
    yield _made(SATURDAY, "Encrypt", who=ana, sourceIPAddress="10.20.9.9")
    root = {"type": "Root", "arn": "arn:aws:iam::111122223333:root", "accountId": "111122223333"}
    yield at(14, 0, "DescribeKey", who=root, sessionCredentialFromConsole="true")
    everybody, own = '{"Principal": {"AWS": "*"}}', '{"Principal": {"AWS": "arn:aws:iam::111122223333:root"}}'
    yield at(15, 0, "PutKeyPolicy", who=admin, **asked(policy=everybody, bypassPolicyLockoutSafetyCheck=True))
    yield at(15, 10, "PutKeyPolicy", who=ana, **asked(policy=own))
    foreign, ours = (f"arn:aws:iam::{account}:role/x" for account in ("444455556666", "111122223333"))
    yield at(15, 20, "CreateGrant", who=ana, **asked(granteePrincipal=foreign, operations=["Decrypt"]))
    yield at(15, 30, "CreateGrant", **asked(granteePrincipal=ours, operations=["Encrypt"]))
    yield at(15, 40, "ScheduleKeyDeletion", who=ana, **asked(pendingWindowInDays=7))
    yield at(15, 41, "ScheduleKeyDeletion", who=admin, **asked(pendingWindowInDays=30))
    yield at(15, 50, "DisableKey", who=ana)
    yield at(15, 51, "EnableKey", who=admin)
    yield at(15, 52, "UpdateAlias", who=ana)
    yield at(15, 53, "ListAliases", key=None)
    yield at(16, 0, "ReEncrypt", context=context("gh-1"), **asked(destinationKeyId=FOREIGN))
    yield at(16, 1, "ReEncrypt", context=context("gh-1"), **asked(destinationKeyId=records.OTHER_KEY))
    yield at(16, 2, "ReplicateKey", who=ana)
    yield at(16, 3, "StopLogging", key=None, who=ana, eventSource="cloudtrail.amazonaws.com")
    service = {"sourceIPAddress": "lambda.amazonaws.com"}
    yield at(16, 4, "GenerateDataKey", who=role("worker", invokedBy="lambda.amazonaws.com"), **service)
    backup = {"type": "AWSService", "invokedBy": "backup.amazonaws.com"}
    yield at(16, 4, "GenerateDataKey", who=backup, sourceIPAddress="backup.amazonaws.com")
    yield at(16, 5, awsRegion="us-east-1", context=context("gh-2"), **INSIDE)
    yield at(16, 6, recipientAccountId="999900001111", who=role("other"))
    yield at(16, 7, "DescribeKey", who=role("batch"), tlsDetails={"tlsVersion": "TLSv1.1"})
    yield at(16, 8, who=role("platform", "api-2"), userAgent="python-requests/2", context=context("gh-3"))
    yield _made(NOW - timedelta(minutes=5), "DescribeKey", who=role("batch"))


@pytest.fixture
def seeded(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[EventStore]:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = EventStore(Path(environment["KEYDECK_EVENTS_FILE"]))
    events = list(_seed())
    store.add(events)
    first = next(one for one in events if one.denied)
    store.review([first.event_id], "ana")
    yield store
    store.close()


def answers(document: Mapping[str, Any]) -> int:
    found = document.get("events", document.get("rows"))
    assert isinstance(found, list)
    return len(found)


@pytest.mark.deep
def test_every_question_is_answered_by_its_line(seeded: EventStore, keydeck: Callable[..., Ran]) -> None:
    found = {}
    for asked_, line in LINES.items():
        ran = keydeck(*shlex.split(line)[1:], "--json")
        assert ran.exit_code == 0, f"{line}: {ran.stderr}"
        found[asked_] = answers(ran.json)
    assert found == EXPECTED


def test_sixty_questions_are_asked_and_those_without_a_line_say_what_helps() -> None:
    assert len(ANSWERS) == source("questions").count("?**") == 60
    unanswered = [answer for asked_, answer in ANSWERS.items() if asked_ not in LINES]
    assert len(unanswered) <= 5
    assert all(answer.startswith("In no single line: ") for answer in unanswered)
    assert KEY in records.KEY
    assert any(KEY in line for line in LINES.values())


def test_help_names_its_topics_and_every_field_and_word(keydeck: Callable[..., Ran]) -> None:
    overview = keydeck("help")
    assert overview.exit_code == 0
    assert all(topic in overview.stdout for topic in ("filters", "questions", "Commands:"))
    printed = keydeck("help", "filters").stdout
    for field in (*OF_EVENTS.values(), *OF_TOKENS.values()):
        assert field.shown in printed, field.name
    assert "eventname → name" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 110
    printed = keydeck("help", "questions").stdout
    assert all(f"  {line}\n" in printed for line in LINES.values())
