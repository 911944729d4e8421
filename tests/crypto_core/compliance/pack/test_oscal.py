"""A period in OSCAL: what is satisfied, what rests on what, and texts that fit whatever they are."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crypto_core.compliance.control import Exemption, Framework, FrameworkControl
from crypto_core.compliance.pack.csv_tables import csv_table
from crypto_core.compliance.pack.oscal import oscal_results
from crypto_core.compliance.pack.oscal_datatypes import markup, string, token
from crypto_core.compliance.period.period import AuditPeriod, LapseSource
from crypto_core.compliance.snapshot import SnapshotPart
from crypto_core.values.clean_text import CleanText, clean
from tests.crypto_core.compliance.pack.foreign_readers import read_results
from tests.crypto_core.compliance.pack.small_periods import CONTEXT, CONTROLS, HOSTILE, SINCE, lapse, period
from tests.crypto_core.compliance.snapshots import KEY, changed, key

HOUSE = Framework(clean("house"), clean("House rules"), clean("2026"))


def house(number: str, *tests: str, outside: str = "") -> FrameworkControl:
    return FrameworkControl(
        id=clean(f"house-{number}"),
        framework=HOUSE,
        number=clean(number),
        title=clean(f"Rule {number}"),
        question=clean("Is it so?"),
        tests=tuple(map(clean, tests)),
        outside=clean(outside),
        limit=clean("No more than that."),
    )


STRENGTH = house("1", "keys-strong")
COUNTED = house("2", "tokens-all-counted")
OUTSIDE = house("3", outside="No measurement tells.")
OURS = (STRENGTH, COUNTED, OUTSIDE)
TOKEN = re.compile(r"[^\W\d][\w.-]*")
STRING = re.compile(r"\S(.*\S)?")
STRINGS = {"value", "name", "version", "title"}
MARKUP = {"title", "description", "remarks", "prose", "statement"}
TOKENS = {"control-id", "objective-id", "target-id", "id", "role-id"}


def document(of: AuditPeriod) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(oscal_results(of, CONTEXT))["assessment-results"]
    return found


def each(part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for name, value in part.items():
            yield name, value
            yield from each(value)
    elif isinstance(part, list):
        for one in part:
            yield from each(one)


def finding(of: AuditPeriod, control: FrameworkControl) -> dict[str, Any]:
    wanted = f"{token(control.id)}_obj"
    every = [one for result in document(of)["results"] for one in result["findings"]]
    return next(one for one in every if one["target"]["target-id"] == wanted)


def status(of: AuditPeriod, control: FrameworkControl = STRENGTH) -> tuple[str, str]:
    found = finding(of, control)["target"]["status"]
    return found["state"], found["reason"]


def holds_together(found: dict[str, Any]) -> None:
    """References are met, UUIDs are there once, texts are of their kinds, and nothing is empty."""
    every = list(each(found))
    uuids = [value for name, value in every if name == "uuid"]
    assert len(set(uuids)) == len(uuids)
    assert {uuid.UUID(one).version for one in uuids} == {5}
    referred = {value for name, value in every if name.endswith("-uuid") and isinstance(value, str)}
    referred |= {value[1:] for name, value in every if name == "href" and value.startswith("#")}
    assert referred <= set(uuids)
    objectives = {value for name, value in every if name == "id"}
    assert {value for name, value in every if name in ("objective-id", "target-id")} <= objectives
    for name, value in every:
        assert value not in (None, "", [], {}) or name == "include-all", name
        if name in TOKENS:
            assert TOKEN.fullmatch(value)
        if name in STRINGS:
            assert STRING.fullmatch(value)


def test_a_control_is_satisfied_by_being_met_on_every_day_and_by_nothing_else() -> None:
    weak = key(spec="RSA_2048")
    partly = changed(SnapshotPart.TOKENS, swept=False)
    until = SINCE + timedelta(days=90)
    excepted = (Exemption(STRENGTH.id, clean("Made anew each year"), clean("CISO"), until),)

    assert status(period(controls=OURS)) == ("satisfied", "pass")
    assert status(period(controls=OURS, gaps=(9,))) == ("not-satisfied", "other")
    assert status(period(controls=OURS, bad=weak)) == ("not-satisfied", "fail")
    assert status(period(controls=OURS, bad=weak, gaps=(1, 2))) == ("not-satisfied", "fail")
    assert status(period(controls=OURS, bad=weak, exemptions=excepted)) == ("not-satisfied", "other")
    assert status(period(controls=OURS, gaps=tuple(range(10)))) == ("not-satisfied", "other")
    assert status(period(controls=OURS), COUNTED) == ("satisfied", "pass")
    assert status(period(controls=OURS, bad=partly), COUNTED) == ("not-satisfied", "other")
    assert status(period(controls=OURS), OUTSIDE) == ("not-satisfied", "other")


def test_a_finding_says_when_it_was_what_in_the_words_of_its_framework() -> None:
    found = finding(period(controls=OURS, bad=key(spec="RSA_2048"), gaps=(7,)), STRENGTH)

    assert STRENGTH.number in found["title"]
    assert STRENGTH.question in found["description"]
    assert "Not met from 2026-11-28 to 2026-11-30." in found["description"]
    assert "No record on 2026-12-02." in found["description"]
    values = {one["name"]: one["value"] for one in found["props"]}
    assert (values["days-met"], values["days-not-met"], values["days-without-record"]) == ("6", "3", "1")
    assert values["number"] == STRENGTH.number


def test_a_lapse_is_an_observation_and_a_risk_with_its_beginning_and_its_end() -> None:
    found = document(period(controls=OURS, lapses=(lapse(STRENGTH), lapse(STRENGTH, cause="b", over=False))))
    (result,) = found["results"]
    over, going_on = result["risks"]

    assert (over["status"], going_on["status"]) == ("closed", "open")
    began, ended = over["risk-log"]["entries"]
    assert (began["start"], ended["start"]) == ("2026-11-28T12:00:00Z", "2026-12-01T12:00:00Z")
    assert "EnableKeyRotation by ops" in ended["description"]
    assert len(going_on["risk-log"]["entries"]) == 1
    observed = {one["uuid"]: one for one in result["observations"]}
    seen = observed[over["related-observations"][0]["observation-uuid"]]
    files = {f"#{one['uuid']}": one["rlinks"][0]["href"] for one in found["back-matter"]["resources"]}
    assert [files[one["href"]] for one in seen["relevant-evidence"]] == [
        "lapses.csv",
        "records.jsonl",
        "changes.csv",
    ]
    holding = [one for one in result["findings"] if "related-risks" in one]
    assert [one["target"]["target-id"] for one in holding] == [f"{STRENGTH.id}_obj"]


def test_a_lapse_that_goes_on_by_leave_is_an_approved_deviation() -> None:
    by_leave = replace(
        lapse(STRENGTH, over=False), excepted=True, began_by=clean("DisableKeyRotation by ops")
    )
    (result,) = document(period(controls=OURS, lapses=(by_leave,)))["results"]

    (risk,) = result["risks"]
    assert risk["status"] == "deviation-approved"
    assert "begun by DisableKeyRotation by ops" in risk["statement"]


def test_a_lapse_that_events_alone_tell_of_was_examined_not_tested() -> None:
    of_events = replace(lapse(STRENGTH), source=LapseSource.EVENTS, records=())
    (result,) = document(period(controls=OURS, lapses=(of_events,)))["results"]

    (seen,) = [one for one in result["observations"] if one["types"] == ["finding"]]
    assert seen["methods"] == ["EXAMINE"]
    assert "by CloudTrail" in seen["description"]


@pytest.mark.parametrize("framework", [*CONTROLS.frameworks, ""])
def test_every_framework_holds_together(framework: str) -> None:
    of = period(framework, bad=key(spec="RSA_2048"), gaps=(7,), lapses=(lapse(*CONTROLS.controls),))
    found = document(of)

    holds_together(found)
    wanted = {framework} if framework else set(CONTROLS.frameworks)
    assert {one["props"][0]["value"] for one in found["results"]} == wanted
    assert sum(len(one["findings"]) for one in found["results"]) == len(of.controls)


def test_without_a_record_nothing_was_tested_and_that_is_said() -> None:
    doubts = {"unknown": (clean("Who reviewed access."),), "unsigned": (3, 4)}
    of = period("soc2", gaps=tuple(range(10)), **doubts)
    (result,) = document(of)["results"]

    holds_together(document(of))
    assert [one["methods"] for one in result["observations"]] == [["EXAMINE"], ["EXAMINE"]]
    assert "2026-11-25 to 2026-12-04" in result["observations"][0]["description"]
    assert "Who reviewed access." in result["observations"][1]["description"]
    assert "Not signed: records 3, 4." in result["observations"][1]["description"]
    assert {one["target"]["status"]["state"] for one in result["findings"]} == {"not-satisfied"}


def test_a_period_without_controls_is_a_document_too() -> None:
    holds_together(document(_bare()))


def _bare() -> AuditPeriod:
    return replace(period("soc2", gaps=tuple(range(10))), controls=())


def test_the_same_period_is_the_same_document_and_another_has_other_names() -> None:
    one, same = oscal_results(period("pci"), CONTEXT), oscal_results(period("pci"), CONTEXT)
    other = document(period("pci", days=9))

    assert one == same
    ours = {value for name, value in each(json.loads(one)) if name == "uuid"}
    assert not ours & {value for name, value in each(other) if name == "uuid"}


def hostile(size: int = 0) -> AuditPeriod:
    """A period in which every text is hostile, and so long where nothing has cleaned it before."""
    text, name = CleanText(HOSTILE + "x" * size), CleanText(HOSTILE)
    framework = Framework(name, text, text)
    ours = tuple(
        FrameworkControl(CleanText(f"{one}{name}"), framework, text, text, text, STRENGTH.tests, text, text)
        for one in ("a", "b")
    )
    of_text = replace(KEY, arn=text, name=text, state=text, owner=text, purpose=text, spec="RSA_2048")
    return replace(
        period(controls=ours, bad=changed(SnapshotPart.KEYS, keys=(of_text,))),
        framework=name,
        lapses=(replace(lapse(*ours, cause=text), what=text, ended_by=text, tests=(text,)),),
        unknown=(text,),
        problems=(text,),
    )


@pytest.mark.deep
@pytest.mark.parametrize("size", [0, 10_000_000])
def test_hostile_texts_fit_and_stay_apart(size: int) -> None:
    raw = oscal_results(hostile(size), CONTEXT)

    holds_together(json.loads(raw)["assessment-results"])
    assert len(raw) < 100_000
    assert not re.search(r"\\u001b|\\u202e", raw.decode())
    every = each(json.loads(raw))
    assert not [one for name, one in every if name in MARKUP and isinstance(one, str) and "<" in one]
    chosen = json.loads(raw)["assessment-results"]["results"][0]["reviewed-controls"]["control-selections"][0]
    assert len({one["control-id"] for one in chosen["include-controls"]}) == 2


@pytest.mark.parametrize("text", ["", " ", "\u00a0", "\x1b", "-", "9", "a b", "é", HOSTILE, "x" * 10_000_000])
def test_whatever_a_text_is_it_becomes_a_token_and_a_string(text: str) -> None:
    assert TOKEN.fullmatch(token(text))
    assert token(text) != token(text + "!")
    assert STRING.fullmatch(string(text))
    assert len(token(text)) < 120
    assert markup(text, otherwise="x")


def test_compliance_trestle_loads_it(tmp_path: Path) -> None:
    bad = key(spec="RSA_2048")
    periods = {
        "every": period(bad=bad, gaps=(7,), lapses=(lapse(*CONTROLS.controls),), unknown=(clean("Much."),)),
        "gaps": period("soc2", gaps=tuple(range(10))),
        "bare": _bare(),
        "hostile": hostile(),
    }
    for name, of in periods.items():
        file = tmp_path / f"{name}.json"
        file.write_bytes(oscal_results(of, CONTEXT))
        read = read_results(file)
        assert sum(len(one.findings or ()) for one in read.results) == len(of.controls)

    broken = json.loads((tmp_path / "every.json").read_text())
    broken["assessment-results"]["results"][0]["findings"][0]["target"]["target-id"] = "a b"
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(Exception, match="target-id"):
        read_results(tmp_path / "broken.json")


def test_keys_are_the_inventory_as_the_newest_record_has_them() -> None:
    (result,) = document(period("soc2"))["results"]

    (database,) = result["local-definitions"]["components"]
    told = [one["value"] for one in database["props"] if one["name"] == "quantum-readiness"]
    assert told == ["no known quantum attack breaks: AES-256-GCM"]
    (item,) = result["local-definitions"]["inventory-items"]
    values = {one["name"]: one["value"] for one in item["props"]}
    assert values["quantum"] == "No known quantum attack breaks it (NIST category 5)."
    assert (values["arn"], values["state"], values["spec"]) == (KEY.arn, "Enabled", "SYMMETRIC_DEFAULT")


def test_evidence_names_the_tables_of_the_pack_with_their_digests() -> None:
    of = period(controls=OURS, bad=key(spec="RSA_2048"), lapses=(lapse(STRENGTH),))
    links = [one["rlinks"][0] for one in document(of)["back-matter"]["resources"]]
    told = {one["href"]: one["hashes"][0]["value"] for one in links if "hashes" in one}

    assert set(told) == {"changes.csv", "controls.csv", "lapses.csv"}
    for path, digest in told.items():
        assert hashlib.sha256(csv_table(path)(of, CONTEXT)).hexdigest() == digest


def test_what_looks_like_a_token_is_hidden() -> None:
    pasted = clean("ghp_" + "a1B2" * 9)
    of = period(
        controls=OURS, unknown=(pasted,), lapses=(replace(lapse(STRENGTH, cause=pasted), what=pasted),)
    )

    assert pasted not in oscal_results(of, replace(CONTEXT, made_by=pasted)).decode()
