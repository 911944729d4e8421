"""Exported Sigma rules: what they match is what the rules call a finding, and no more."""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest

from crypto_core.findings.registry import Facts, NoSigma, Sigma, rule_by_id, rules_about
from crypto_core.trail.rules.sigma import SigmaExport, export_sigma, sigma_id
from crypto_core.trail.rules.watched_keys import Configured, Keys, resolve
from tests.crypto_core.trail.records import (
    ACCOUNT,
    KEY,
    OTHER_KEY,
    S3_CONTEXT,
    context,
    denied,
    record,
    role,
    user,
)
from tests.crypto_core.trail.rules.sigma_matching import Record, correlated, matches
from tests.crypto_core.trail.rules.watching import ALIASES, DAY, FOREIGN, HOUR, Watch, change, trail_call

yaml = pytest.importorskip("yaml")

ELSEWHERE = KEY.replace("1234abcd-", "ffffffff-")
THEIRS = ELSEWHERE.replace(ACCOUNT, FOREIGN)
RETIRED = KEY.replace("1234abcd-", "aaaaaaaa-")
CONFIGURED = Configured(KEY, (OTHER_KEY,), (RETIRED,))
SERVICE = role("backup", invokedBy="backup.amazonaws.com")


@cache
def export() -> SigmaExport:
    """What is exported for the keys of these tests."""
    keys, gaps = resolve(CONFIGURED, ALIASES, lambda name: name)
    assert gaps == ()
    return export_sigma(keys)


def matched(rule: str, records: Sequence[Record]) -> list[Record]:
    """The records that a rule's exported document matches."""
    parts = {one["name"]: one for one in export().documents if "name" in one}
    wanted = rule_by_id(rule)
    assert wanted
    (document,) = [one for one in export().documents if one["id"] == sigma_id(wanted)]
    if "correlation" in document:
        return correlated(document["correlation"], parts, records)
    return [one for one in records if matches(document["detection"], one)]


def stated() -> list[str]:
    """The rules that are exported."""
    ids = {one["id"] for one in export().documents}
    return [rule.id for rule in rules_about(Facts.EVENTS) if sigma_id(rule) in ids]


def refused(name: str, ago: int, **more: Any) -> dict[str, Any]:
    """A call that was denied so many seconds ago."""
    return denied(name, eventTime=record(ago=ago)["eventTime"], **more)


def rewrap(to: str, **more: Any) -> dict[str, Any]:
    """A data key of a token wrapped anew."""
    arns = [{"type": "AWS::KMS::Key", "ARN": arn} for arn in (KEY, to)]
    return record(
        "ReEncrypt",
        ago=90,
        resources=arns,
        requestParameters={"sourceKeyId": KEY, "destinationKeyId": to},
        **more,
    )


TRIGGERS: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
    "event-alias-changed": lambda: [
        change("UpdateAlias", {"aliasName": "alias/tokens", "targetKeyId": ELSEWHERE}, ago=60)
    ],
    "event-console-use": lambda: [
        record("Encrypt", ago=60, sessionCredentialFromConsole="true"),
        record(ago=61, who=SERVICE, sessionCredentialFromConsole="true"),
    ],
    "event-context-wrong": lambda: [record(ago=60, errorCode="InvalidCiphertextException")],
    "event-decrypt-human": lambda: [
        record(ago=60, who=user("ana")),
        record(ago=61, who=role("AWSReservedSSO_Admin_1", "ana")),
    ],
    "event-failed-burst": lambda: [
        refused(name, ago=60) for name in ("ListKeys", "GetKeyPolicy", "CreateGrant")
    ],
    "event-key-grant": lambda: [
        change("CreateGrant", {"granteePrincipal": f"arn:aws:iam::{ACCOUNT}:role/x"}, ago=60),
        refused("CreateGrant", ago=70),
    ],
    "event-key-ransom": lambda: [
        change("DisableKey", ago=HOUR, key=OTHER_KEY),
        change("ScheduleKeyDeletion", ago=60, key=OTHER_KEY),
    ],
    "event-key-revived": lambda: [change("EnableKey", ago=60, key=RETIRED)],
    "event-retired-key": lambda: [
        record(ago=60, key=RETIRED),
        refused("Encrypt", key=RETIRED, ago=61),
        record("GenerateDataKey", ago=62, key=RETIRED, who=SERVICE),
    ],
    "event-rewrapped-elsewhere": lambda: [rewrap(ELSEWHERE), rewrap(THEIRS, who=SERVICE)],
    "event-root-use": lambda: [record("Encrypt", ago=60, key=ELSEWHERE, who=user("r", type="Root"))],
}
"""What rules find, where one call by its name is not enough."""


def trigger(rule: str) -> list[dict[str, Any]]:
    """Records of which the rule makes findings: by default a call of each name that it is about."""
    if rule in TRIGGERS:
        return TRIGGERS[rule]()
    sigma = getattr(rule_by_id(rule), "sigma", None)
    assert isinstance(sigma, Sigma)
    names: list[str] = sigma.selection["eventName"]
    if "kms" not in sigma.selection["eventSource"]:
        more = {"eventSource": sigma.selection["eventSource"]}
        return [trail_call(name, ago=60 + n) | more for n, name in enumerate(names)]
    attempt = change(names[0], ago=90, errorCode="AccessDenied")
    return [*(change(name, ago=60 + n) for n, name in enumerate(names)), attempt]


def test_a_document_matches_exactly_what_its_rule_finds(watch: Watch) -> None:
    """The routine of some days and, half an hour apart, what each rule is about, all at once."""
    records = routine(1, seed="triggers")
    for n, rule in enumerate(stated()):
        for one in trigger(rule):
            then = datetime.fromisoformat(one["eventTime"]) - n * timedelta(minutes=30)
            records.append(one | {"eventTime": then.strftime("%Y-%m-%dT%H:%M:%SZ")})
    findings = watch(records, CONFIGURED).findings
    for rule in stated():
        told = {event for finding in findings if finding.rule == rule for event in finding.events}
        assert told, rule
        assert {one["eventID"] for one in matched(rule, records)} == told, rule


def routine(days: int, *, seed: str, each: int = 12) -> list[dict[str, Any]]:
    """What goes on where all is well, on so many days up to now, `each` of every kind a day."""
    draw = random.Random(seed)
    kinds: Sequence[Callable[[int], dict[str, Any]]] = (
        lambda n: record(ago=n, context=context(f"gh-{draw.randrange(40)}")),
        lambda n: record(ago=n, key=OTHER_KEY),
        lambda n: record("GenerateDataKey", ago=n),
        lambda n: record("DescribeKey", ago=n, key=draw.choice((KEY, OTHER_KEY, RETIRED)), who=role("ops")),
        lambda n: record(ago=n, key=ELSEWHERE, who=user("analyst")),
        lambda n: record(
            "GenerateDataKey", ago=n, key=ELSEWHERE, who=role("ops"), sessionCredentialFromConsole="true"
        ),
        lambda n: record(
            ago=n, key=KEY, who=SERVICE, sessionCredentialFromConsole="true", context=S3_CONTEXT
        ),
        lambda n: record(
            ago=n, key=OTHER_KEY, who=user("ana"), sourceIPAddress="s3.amazonaws.com", context=S3_CONTEXT
        ),
        lambda n: record(ago=n, errorCode="ThrottlingException"),
        lambda n: record("Encrypt", ago=n, errorCode="DryRunOperationException"),
        lambda n: change("CreateGrant", ago=n, who=SERVICE) | {"sourceIPAddress": "backup.amazonaws.com"},
        lambda n: change("TagResource", ago=n, who=SERVICE),
        lambda n: change("CreateAlias", {"aliasName": f"alias/app-{n}"}, ago=n, key=ELSEWHERE),
        lambda n: change("CreateKey", {"policy": OWN}, ago=n, key=ELSEWHERE),
        lambda n: trail_call("PutEventSelectors", {"eventSelectors": ALL}, ago=n),
        lambda n: rewrap(OTHER_KEY) | {"eventTime": record(ago=n)["eventTime"]},
        lambda n: refused("ListKeys", ago=n, who=user("broken")),
    )
    return [kind(draw.randrange(600, days * DAY)) for kind in kinds for _ in range(days * each)]


OWN = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
)
ALL = [{"readWriteType": "All", "includeManagementEvents": True}]


@pytest.mark.deep
def test_where_all_is_well_no_document_matches_anything(watch: Watch) -> None:
    """The same calls are among them: of other keys, of services, refused for other reasons."""
    records = routine(7, seed="quiet", each=8)
    found = watch(records, CONFIGURED).findings
    assert [(one.rule, one.evidence) for one in found] == []
    assert len(records) > 900
    assert {rule: len(matched(rule, records)) for rule in stated() if matched(rule, records)} == {}


def test_what_sigma_cannot_state_is_left_out_with_its_reason() -> None:
    left_out = export().left_out
    every = {rule.id: rule.sigma for rule in rules_about(Facts.EVENTS)}
    assert (
        set(left_out) == set(every) - set(stated()) == {i for i, s in every.items() if isinstance(s, NoSigma)}
    )
    assert {"event-bulk-tokens", "event-decrypt-new-network", "event-context-missing"} < set(left_out)
    assert all(re.fullmatch(r"\S.{20,}[^.]", reason) for reason in left_out.values())


@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        (Keys(), {"event-retired-key", "event-key-revived", "event-rewrapped-elsewhere"}),
        (Keys(guarding=frozenset({KEY})), {"event-retired-key", "event-key-revived", "event-alias-changed"}),
    ],
)
def test_a_rule_about_keys_that_settings_do_not_name_is_left_out(keys: Keys, missing: set[str]) -> None:
    assert set(export_sigma(keys).left_out) - set(export().left_out) == missing


def test_keys_are_matched_in_every_region_and_by_every_name() -> None:
    multi = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
    keys = Keys(guarding=frozenset({multi}), names={multi: ("alias/tokens",)})
    (document,) = [d for d in export_sigma(keys).documents if d["title"] == "KMS key disabled"]
    detection = document["detection"]
    assert matches(detection, change("DisableKey", key=multi.replace("eu-west-1", "us-east-1")))
    for name in ("alias/tokens", f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/tokens", multi[-36:], multi):
        assert matches(detection, change("DisableKey", {"keyId": name}, key=None))
    for name in ("alias/tokens-old", "alias/my/alias/tokens", KEY):
        assert not matches(detection, change("DisableKey", {"keyId": name}, key=None))


def every() -> Iterator[dict[str, Any]]:
    yield from export().documents


def test_documents_have_what_the_specification_asks_for() -> None:
    ids = [one["id"] for one in every()]
    assert len(ids) == len(set(ids))
    names = {other.get("name") for other in every()}
    for one in every():
        assert str(uuid.UUID(one["id"])) == one["id"]
        assert one["status"] == "experimental"
        assert one["level"] in ("informational", "low", "medium", "high", "critical")
        assert one["falsepositives"]
        assert one["description"].endswith(".")
        assert any(re.fullmatch(r"attack\.t\d{4}(\.\d{3})?", tag) for tag in one["tags"])
        assert all(re.fullmatch(r"attack\.[a-z0-9.-]+", tag) for tag in one["tags"])
        assert ("detection" in one) is not ("correlation" in one)
        if "detection" in one:
            assert one["logsource"] == {"product": "aws", "service": "cloudtrail"}
            assert one["detection"]["selection"]["eventSource"].endswith(".amazonaws.com")
        else:
            assert set(one["correlation"]["rules"]) <= names


def test_documents_are_yaml() -> None:
    stream = "".join(f"---\n{json.dumps(one, indent=2, ensure_ascii=True)}\n" for one in every())
    assert list(yaml.safe_load_all(stream)) == list(every())


def test_ids_of_sigma_rules_never_change() -> None:
    ransom = rule_by_id("event-key-ransom")
    assert ransom
    assert sigma_id(ransom) == "a436936f-a9a8-5a71-b62b-61060af75b68"
