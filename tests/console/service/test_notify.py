"""Notifications end to end: made once of what is recorded, sent at least once, and none is lost silently."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from console.service.notices import notice_service
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.leases import DutyLease, on_duty
from crypto_core.findings.finding import Finding, Severity
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import IncidentScope
from crypto_core.incidents.people import IncidentRole
from crypto_core.notices.notice import NoticeKind, NoticeSettings, QuietHours, Receiver
from crypto_core.notices.sender import Letter
from crypto_core.notices.service import NoticeService, standing_findings
from crypto_core.values.errors import DutyLostError, ReadOnlyError, SettingsError
from tests.pooler import pooler
from tests.receivers import TOKEN, Webhook, dead, webhook

NOW = datetime(2026, 11, 29, 23, 30, tzinfo=UTC)


class Post:
    """Takes letters in this process; `trouble` says of which receivers it can't deliver them, and why."""

    def __init__(self) -> None:
        self.taken: list[Letter] = []
        self.trouble: dict[str, str] = {}

    def send(self, letters: Any, cancelled: Any = None) -> dict[str, str]:
        told = {letter.receiver.name: self.trouble.get(letter.receiver.name, "") for letter in letters}
        self.taken += [letter for letter in letters if not told[letter.receiver.name]]
        return told

    def titles(self, name: str) -> list[str]:
        return [letter.message.title for letter in self.taken if letter.receiver.name == name]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def notices(services: Container, post: Post) -> NoticeService:
    """The service over the test's database, past its first round; for one receiver hours are quiet."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    quiet = QuietHours((now - hour).time(), (now + hour).time(), UTC)
    receivers = (
        Receiver("chat", "json://x"),
        Receiver("pager", "json://x", frozenset({NoticeKind.INCIDENT}), Severity.CRITICAL),
        Receiver("sleeper", "json://x", quiet=quiet),
    )
    made = NoticeService(
        services.state_engine,
        services.journal,
        NoticeSettings(receivers, environment="prod"),
        lambda: services.incident_response.incidents.incidents(closed=False),
        read_only=False,
        send=post.send,
    )
    assert made.tell().first
    return made


def declared(services: Container, world: World) -> int:
    (ref,) = world.sealed_under(world.old_key)[:1]
    return services.incident_response.incidents.declare(
        "token-compromise", IncidentScope(references=(str(ref),))
    )


def due_now(superuser: Engine) -> None:
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.notice SET next_at = now()"))


def test_incidents_and_approvals_are_told_once_each_to_whom_they_concern(
    services: Container, notices: NoticeService, post: Post, world: World
) -> None:
    number = declared(services, world)
    services.approvals.request("keys disable", "Disable alias/x <!channel>", "d1", {"key": "alias/x"})
    services.incident_response.incidents.assign(number, IncidentRole.LEAD, "ben")
    services.incident_response.incidents.assign(number, IncidentRole.OPERATIONS, "eva")
    done = notices.tell()
    assert (done.made, done.sent, done.held, done.troubles) == (7, 5, 2, {})
    for step in services.incident_response.incidents.show(number).steps:
        services.incident_response.incidents.skip(number, step.step.id, "Not needed here.")
    services.incident_response.incidents.close(number, "A false alarm.")
    done = notices.tell()
    assert (done.made, done.sent, done.held, done.troubles) == (2, 1, 3, {})
    assert post.titles("chat") == [
        f"prod critical: Incident declared: INC-{number}",
        "prod high: Approval asked: Disable alias/x ‹!channel›",
        f"prod high: The lead has changed: INC-{number}",
        f"prod high: Incident closed: INC-{number}",
    ]
    assert post.titles("pager") == [f"prod critical: Incident declared: INC-{number}"]
    assert post.titles("sleeper") == [f"prod critical: Incident declared: INC-{number}"]
    assert "A false alarm." in post.taken[-1].message.body + post.taken[-2].message.body
    again = notices.tell()
    assert (again.made, again.sent, again.held) == (0, 0, 3)
    notices.clock = lambda: datetime.now(UTC) + timedelta(hours=9)
    assert notices.tell().sent == 3
    assert len(post.titles("sleeper")) == 4


def test_a_step_that_is_late_is_told_once(
    services: Container, notices: NoticeService, post: Post, world: World, superuser: Engine
) -> None:
    number = declared(services, world)
    step = services.incident_response.incidents.show(number).steps[0]
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.incident_step SET begun_at = '2026-01-01', state = 'begun'"))
    notices.tell()
    notices.tell()
    late = [title for title in post.titles("chat") if "late" in title]
    assert late == [f"prod high: INC-{number}: step 1 is late: {step.step.title}"]


def test_what_a_dead_receiver_does_not_take_waits_and_is_counted_and_others_get_theirs(
    services: Container, notices: NoticeService, post: Post, superuser: Engine
) -> None:
    post.trouble["chat"] = "It did not answer in time."
    for number in range(5):
        services.journal.record("incident close", f"INC-{number}", Outcome.DONE)
    done = notices.tell()
    assert (done.made, done.sent, done.troubles) == (10, 0, {"chat": "It did not answer in time."})
    assert notices.counts() == {("chat", "waiting"): 5, ("sleeper", "waiting"): 5}
    assert notices.tell().troubles == {}  # not before its time
    due_now(superuser)
    post.trouble.clear()
    assert notices.tell().sent == 5
    [title] = post.titles("chat")
    assert title == "prod high: 5 notices, such as Incident closed: INC-0"
    post.trouble["chat"] = "Gone."
    services.journal.record("incident close", "INC-9", Outcome.DONE)
    notices.tell()
    with superuser.begin() as connection:
        connection.execute(
            text("UPDATE keydeck.notice SET made_at = now() - interval '2 days', next_at = now()")
        )
    notices.tell()
    assert notices.counts()["chat", "given up"] == 1
    [lost] = notices.listed(["given up"], 10)
    assert (lost.trouble, lost.attempts) == ("Gone.", 2)


def test_findings_are_told_when_they_are_new_and_again_when_they_come_back(
    services: Container, notices: NoticeService, post: Post
) -> None:
    def look(*titles: str, whole: bool = True, at: datetime = NOW) -> int:
        found = [Finding("kms-rotation-off", Severity.CRITICAL, "key", t, "e", "r") for t in titles]
        with on_duty(services.state_engine, "findings") as lease:
            assert isinstance(lease, DutyLease)
            return notices.tell_standing(lease, standing_findings(found, at, whole=whole))

    assert look("one", "two") == 4  # chat and sleeper; none to the pager
    assert look("one", "two", "three") == 2
    assert look("three", whole=False) == 0
    assert look("one", "two", "three", at=NOW + timedelta(hours=1)) == 0
    assert look("three") == 0
    assert look("one", "three", at=NOW + timedelta(hours=2)) == 2
    assert notices.tell().sent == 8
    assert len({row.digest for row in notices.listed(["sent"], 50)}) == 4


def test_one_host_at_a_time_tells_and_one_that_lost_the_duty_writes_nothing(
    services: Container, notices: NoticeService, superuser: Engine, environment: dict[str, str]
) -> None:
    with pooler(environment["DATABASE_URL"]) as wire:
        pooled = open_engine(wire.url(environment["DATABASE_URL"]))
        with on_duty(pooled, "notices") as lease:
            assert isinstance(lease, DutyLease)
            assert "process" in str(notices.tell().holder)
            with superuser.begin() as connection:
                connection.execute(text("UPDATE keydeck.duty SET until = now()"))
            assert not notices.tell().holder
            with pytest.raises(DutyLostError):
                lease.finish()
        pooled.dispose()


def test_rows_and_entries_that_keydeck_did_not_write_stop_nothing(
    services: Container, notices: NoticeService, post: Post, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO keydeck.notice (digest, receiver, kind, severity, told, made_at, state, next_at)"
                " VALUES (E'd\\x1b', 'chat', 'finding', 'high', '[7]', now(), 'waiting', now()),"
                " ('e', 'chat', 'finding', 'high', '{\"id\": 1, \"kind\": \"x\"}', now(), 'waiting', now())"
            )
        )
        connection.execute(text("UPDATE keydeck.duty SET position = '{\"seq\": 999}'"))
    done = notices.tell()
    assert done.sent == 4  # these two, and to two receivers that the journal is shorter than it was
    assert any("journal lacks entries" in title for title in post.titles("pager") + post.titles("chat"))
    services.journal.record("incident close", "INC-1", Outcome.DONE, {"outcome": ["\x1b[31m", {"a": 1}]})
    assert notices.tell().sent == 1
    for position in ("[]", "7", '{"seq": "x", "known": 3}'):
        with superuser.begin() as connection:
            connection.execute(text("UPDATE keydeck.duty SET position = :p"), {"p": position})
        assert notices.tell().first


@pytest.fixture
def hook(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as made:
        monkeypatch.setenv("ONCALL_URL", made.url)
        receivers = {"oncall": {"url_variable": "ONCALL_URL"}}
        monkeypatch.setenv("KEYDECK_NOTIFY", json.dumps({"receivers": receivers}))
        yield made


@pytest.mark.deep
def test_the_command_tests_receivers_and_sends_and_no_output_has_their_token(
    services: Container, hook: Webhook, keydeck: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keydeck("notify", "send").exit_code == 0
    services.journal.record("incident declare", "INC-1", Outcome.DONE, {"title": "gho_" + "a1B2" * 9})
    sent = keydeck("notify", "send")
    assert (sent.exit_code, sent.stderr) == (0, "1 new notice, 1 sent.\n")
    [taken] = hook.taken
    assert taken["title"] == "critical: Incident declared: INC-1"
    assert "a1B2" not in json.dumps(taken)
    listed = keydeck("notify", "list", "--all", "--json")
    [row] = listed.json["notices"]
    assert (row["state"], row["receiver"]) == ("sent", "oncall")
    assert row["id"] in taken["message"]
    with dead() as silent:
        receivers = {"oncall": {"url_variable": "ONCALL_URL"}, "silent": f"{silent}?rto=0.5"}
        monkeypatch.setenv("KEYDECK_NOTIFY", json.dumps({"receivers": receivers}))
        tested = keydeck("notify", "test", "--json")
    assert tested.exit_code == 3
    assert [one["answered"] for one in tested.json["receivers"]] == [True, False]
    shown = keydeck("settings")
    assert "oncall = ONCALL_URL" in shown.stdout
    assert "silent = json://(hidden)" in shown.stdout
    assert TOKEN not in repr([sent, listed, tested, shown, load()])
    reading = keydeck("--read-only", "notify", "send")
    assert (reading.exit_code, "read-only mode" in reading.stderr) == (2, True)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"receivers": {f"slack://{TOKEN}": "x"}}, "letters, digits"),
        ({"receivers": {"a": {"url": "json://x", f"json://{TOKEN}": 1}}}, "Extra inputs"),
        ({"receivers": {"a": {"url": "json://x", "kinds": [f"json://{TOKEN}"]}}}, "'incident'"),
        ({"receivers": {"a": TOKEN}}, "has no URL"),
        ({"receivers": {"a": {"url_variable": "NOT_THERE"}}}, "NOT_THERE in the environment"),
        ({"quiet": "22-7"}, "22:00-07:00"),
        ({"time_zone": "Mars/Olympus"}, "time zone"),
        ({"body": "{title.__class__}"}, "{title.__class__} is not one of"),
    ],
)
def test_wrong_settings_are_named_and_repeat_no_url(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, written: Any, says: str
) -> None:
    monkeypatch.setenv("KEYDECK_NOTIFY", json.dumps(written))
    with pytest.raises(SettingsError) as caught:
        load().settings.notify.built("")
    assert says in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_without_a_receiver_or_the_extra_it_is_said_what_is_missing(
    keydeck: Callable[..., Any], hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.extras.util.find_spec", lambda _name: None)
    lacking = keydeck("notify", "test")
    assert (lacking.exit_code, "keydeck[notify]" in lacking.stderr) == (2, True)
    monkeypatch.delenv("KEYDECK_NOTIFY")
    nobody = keydeck("notify", "test")
    assert (nobody.exit_code, "[notify.receivers]" in nobody.stderr) == (2, True)


KILLED = """
import os, signal
from console.__main__ import run
from crypto_core.notices import service
service._note = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
run(["notify", "send"])
"""


@pytest.mark.deep
def test_who_is_killed_between_sending_and_noting_it_sends_it_again_under_the_same_id(
    services: Container, hook: Webhook, keydeck: Callable[..., Any], superuser: Engine
) -> None:
    keydeck("notify", "send")
    services.journal.record("incident declare", "INC-1", Outcome.DONE)
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False, env=os.environ | python_path())
    assert killed.returncode == -signal.SIGKILL
    assert len(hook.taken) == 1
    with superuser.begin() as connection:
        connection.execute(text("UPDATE keydeck.duty SET until = now()"))
    assert keydeck("notify", "send").stderr == "0 new notices, 1 sent.\n"
    one, twin = hook.taken
    assert one["message"] == twin["message"]


def python_path() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def test_read_only_remembers_nothing(services: Container, notices: NoticeService) -> None:
    with closing(Container(load({"read_only": True}).settings)) as reading, pytest.raises(ReadOnlyError):
        notice_service(reading).tell()
