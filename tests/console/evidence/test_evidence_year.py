"""Days pass in the sandbox, with lapses, missing days and incidents; the pack tells exactly these.

A month in the deep lane; YEAR_DAYS=365 lets a whole year pass, in about ten minutes.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox import access_keys, platform
from console.sandbox.platform_part import PlatformPart
from console.sandbox.provider_tokens import Style, issue
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.incidents.model import IncidentScope
from tests.conftest import point_at
from tests.console.evidence.evidence_year import MORNING, SimulatedYear, done, opened_to_all
from tests.crypto_core.compliance.pack.foreign_readers import bill_trouble, read_results

pytestmark = pytest.mark.deep

DAYS = int(os.environ.get("YEAR_DAYS", "30"))
FRAMEWORKS = ("soc2", "pci", "iso", "asvs", "nist")
STANDING = {
    "accesses-reviewed",
    "column-unguarded",
    "events-at-hand",
    "kms-single-region",
    "receipts-kept",
    "restore-drilled",
    "second-person",
}
"""What is not as it should be from the first day to the last, by the first word of its cause."""
_A_TOKEN = "gh_connection.access_token:test-account-1"
_BARE = """
INSERT INTO gh_connection (id, org_id, user_id, created_at, token_type, scopes, access_token)
SELECT id, 'platform-team', 'test', simulated.now(), 'bearer', '[]', token
FROM unnest(CAST(:id AS text[]), CAST(:token AS text[])) AS bare(id, token)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """When things go wrong. Days count from the first one of the period."""

    first: date
    last: date

    def day(self, part: float) -> date:
        """The day at a part (0 to 1) of the period."""
        return self.first + timedelta(days=round((self.last - self.first).days * part))

    @property
    def rotation_off(self) -> tuple[date, date]:
        return self.day(0.2), self.day(0.2) + timedelta(days=9)

    @property
    def plaintext(self) -> tuple[date, date]:
        return self.day(0.6), self.day(0.6) + timedelta(days=3)

    @property
    def opened(self) -> date:
        return self.day(0.8)

    @property
    def missing(self) -> frozenset[date]:
        two = self.day(0.1)
        return frozenset({two, two + timedelta(days=1), self.day(0.75), self.day(0.9)})

    @property
    def incidents(self) -> tuple[date, date]:
        return self.day(0.25), self.day(0.85)


PLAN = Plan(datetime.now(UTC).date() - timedelta(days=DAYS), datetime.now(UTC).date() - timedelta(days=1))


@pytest.fixture
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedYear]:
    """A sandbox with 60 healthy tokens in which the days of `PLAN` have passed."""
    begin = datetime.combine(PLAN.first, time(tzinfo=UTC))
    before = begin - timedelta(days=3)
    with Sandbox.start(connections=20, now=before) as sandbox, pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("year")
        point_at(sandbox, sandbox.database_url, folder, patch)
        patch.setenv("KEYDECK_SIGNING_KEY", _signing_key(sandbox))
        patch.setenv("KEYDECK_ANCHOR_FILE", str(folder / "anchors.jsonl"))
        superuser = open_engine(sandbox.superuser_url)
        done("init")
        made = SimulatedYear(sandbox, superuser, PLAN.missing, list(_deeds(sandbox, superuser)))
        made.begin()
        sandbox.control.forget(before)
        with made.at(before):
            _fill(sandbox, superuser)
        made.live(PLAN.first, PLAN.last)
        with made.at(datetime.combine(PLAN.last + timedelta(days=1), time(5, tzinfo=UTC))):
            yield made
        superuser.dispose()


def _signing_key(sandbox: Sandbox) -> str:
    made = sandbox.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    return str(made["KeyMetadata"]["Arn"])


def _fill(sandbox: Sandbox, superuser: Engine) -> None:
    """Leave no token but 60 of test accounts, all sealed under the current key."""
    with superuser.begin() as connection:
        for table in platform.metadata.tables:
            connection.execute(text(f"TRUNCATE {table}"))
    services, owners = Container(load().settings), PlatformPart(sandbox)
    for _ in range(60):
        owners.connect_account(services.keyring)
    services.close()
    done("status")  # whose first Decrypt this is, so that none is new later


def _deeds(sandbox: Sandbox, superuser: Engine) -> Iterator[tuple[datetime, Callable[[], object]]]:
    key = sandbox.world.current_key.arn
    analyst, on_call = (sandbox.client("kms", one) for one in (access_keys.ANALYST, access_keys.ON_CALL))

    def open_policy() -> None:
        policies.append(analyst.get_key_policy(KeyId=key)["Policy"])
        analyst.put_key_policy(KeyId=key, Policy=json.dumps(opened_to_all(json.loads(policies[-1]))))

    def write_plaintext() -> None:
        tokens = {
            "id": [f"bare-{number}" for number in range(40)],
            "token": [issue(Style.GITHUB_USER, number, "bare") for number in range(40)],
        }
        with superuser.begin() as connection:
            connection.execute(text(_BARE), tokens)

    def respond() -> None:
        services = Container(load().settings)
        incidents = services.incident_response.incidents
        number = incidents.declare("token-compromise", IncidentScope(references=(_A_TOKEN,)), "A leak")
        for step in incidents.show(number).steps:
            incidents.skip(number, step.step.id, "It was a test account's.")
        incidents.close(number, "No token of a customer.")
        services.close()

    policies: list[str] = []
    yield evening(PLAN.rotation_off[0]), lambda: analyst.disable_key_rotation(KeyId=key)
    yield evening(PLAN.rotation_off[1]), lambda: on_call.enable_key_rotation(KeyId=key)
    yield evening(PLAN.plaintext[0]), write_plaintext
    yield evening(PLAN.plaintext[1]), lambda: done("encrypt", "--plaintext", "--yes")
    yield evening(PLAN.opened, 14), open_policy
    yield evening(PLAN.opened, 16), lambda: on_call.put_key_policy(KeyId=key, Policy=policies.pop())
    for day in PLAN.incidents:
        yield evening(day), respond


def evening(day: date, hour: int = 18) -> datetime:
    return datetime.combine(day, time(hour, tzinfo=UTC))


@pytest.mark.slow(45)
def test_packs_of_the_period_tell_exactly_what_happened_in_the_words_of_each_framework(
    year: SimulatedYear, tmp_path: Path
) -> None:
    """One test: another process that took a part of it would let the days pass again."""
    public = tmp_path / "key.b64"
    key = os.environ["KEYDECK_SIGNING_KEY"]
    public.write_bytes(b64encode(year.sandbox.client("kms").get_public_key(KeyId=key)["PublicKey"]))
    for framework in FRAMEWORKS:
        pack = tmp_path / framework
        asked = ("--from", str(PLAN.first), "--to", str(PLAN.last), "--framework", framework)
        ran = done("evidence", "pack", *asked, "--output", str(pack), fine=(0,))
        assert "left out" not in ran.stderr
        assert sum(file.stat().st_size for file in pack.iterdir()) < 20_000_000
        the_planted_lapses_and_no_other(year.sandbox.world.current_key.arn, pack)
        what_was_so_before(pack)
        days_without_a_record_and_incidents(pack)
        documents_for_other_tools(pack)
        verified(pack, public)
    changed_bytes_are_caught(pack, public)


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def the_planted_lapses_and_no_other(key: str, pack: Path) -> None:
    lapses = {row["cause"]: row for row in rows_of(pack, "lapses.csv") if row["not_before"]}
    rotation = lapses.pop(f"kms-rotation-off {key}")
    assert moments(rotation) == (evening(PLAN.rotation_off[0]), evening(PLAN.rotation_off[1]))
    assert "DisableKeyRotation by arn:aws:iam::123456789012:user/keydeck-analyst" in rotation["began_by"]
    assert "EnableKeyRotation by arn:aws:iam::123456789012:role/keydeck-oncall" in rotation["ended_by"]

    plaintext = lapses.pop("tokens-plaintext gh_connection.access_token")
    first, over = (datetime.combine(day + timedelta(days=1), MORNING) for day in PLAN.plaintext)
    assert moments(plaintext) == (first, over)
    assert plaintext["what"].startswith("40 tokens in format plaintext")
    assert plaintext["ended_by"].startswith("inferred: encrypt by arn:aws:sts::123456789012:assumed-role/")

    opened = lapses.pop(f"access {key}")
    assert moments(opened) == (evening(PLAN.opened, 14), evening(PLAN.opened, 16))
    assert opened["source"] == "CloudTrail"
    assert "open to everybody" in opened["what"]
    assert lapses == {}, str(lapses)

    # In the framework's words: its own controls, with their numbers, titles and questions.
    controls = {f"{row['standard']} {row['number']}": row for row in rows_of(pack, "controls.csv")}
    report = (pack / "report.md").read_text()
    for lapse in (rotation, plaintext, opened):
        for named in lapse["controls"].split("; "):
            assert controls[named]["framework"] == pack.name
            assert controls[named]["title"] in report
            assert int(controls[named]["days_not_met"]) > 0


def what_was_so_before(pack: Path) -> None:
    standing = [row for row in rows_of(pack, "lapses.csv") if not row["not_before"]]
    assert {row["cause"].split()[0] for row in standing} <= STANDING
    # After 90 days there are the events of a quarter.
    assert all(row["over"] == "no" or row["cause"] == "events-at-hand" for row in standing)


def days_without_a_record_and_incidents(pack: Path) -> None:
    report = json.loads((pack / "report.json").read_text())
    assert report["gaps"] == sorted(map(str, PLAN.missing))
    (met,) = {int(row["days_with_record"]) for row in rows_of(pack, "controls.csv")}
    assert met == DAYS - len(PLAN.missing)
    incidents = rows_of(pack, "incidents.csv")
    assert [moment(row["declared_at"]).date() for row in incidents] == list(PLAN.incidents)
    assert all(row["closed_at"] for row in incidents)


def verified(pack: Path, public: Path) -> None:
    proved = done("evidence", "verify", str(pack), "--public-key", str(public), fine=(0,))
    assert "this is the signed content" in proved.stdout
    assert verified_outside(pack, public) == 0


def changed_bytes_are_caught(pack: Path, public: Path) -> None:
    draw = random.Random()  # which bytes are changed
    for file in sorted(pack.iterdir()):
        content = file.read_bytes()
        place, bit = draw.randrange(len(content)), 1 << draw.randrange(8)
        file.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        found = done("evidence", "verify", str(pack), "--public-key", str(public), fine=(1, 3))
        told = (file.name, "not signed") if file.name == "signature.json" else (file.name,)
        assert any(one in found.stdout + found.stderr for one in told), (file.name, place, bit)
        # Of a signature by an algorithm of another name it says that it can't check it.
        named = re.search(rb'"algorithm":"([^"]*)"', content) if file.name == "signature.json" else None
        caught = {1, 3} if named and named.start(1) <= place < named.end(1) else {1}
        assert verified_outside(pack, public) in caught, (file.name, place, bit)
        file.write_bytes(content)


def verified_outside(pack: Path, public: Path) -> int:
    verifier = public.with_name("verifier.py")
    if not verifier.exists():
        verifier.write_text(done("evidence", "verifier", fine=(0,)).stdout)
    command = [sys.executable, "-I", str(verifier), str(pack), "--public-key", str(public)]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert "Traceback" not in ran.stderr
    return ran.returncode


def documents_for_other_tools(pack: Path) -> None:
    results = read_results(pack / "oscal-assessment-results.json")
    risks = [risk.title for result in results.results for risk in result.risks or ()]
    assert sum(title.startswith("kms-rotation-off") for title in risks) == 1
    assert bill_trouble((pack / "cbom.cdx.json").read_text()) is None


def moments(lapse: dict[str, str]) -> tuple[datetime, datetime]:
    """From when to when it was so, to the minute."""
    return moment(lapse["first_at"]), moment(lapse["over_at"])


def moment(told: str) -> datetime:
    return datetime.fromisoformat(told).replace(second=0, microsecond=0)
