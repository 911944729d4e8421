"""Four eyes: another person, this very plan, in time, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.state.approval_book import LONGEST_TEXT, ApprovalBook
from crypto_core.database.state.journal import Journal
from crypto_core.guard.approvals import ACTIONS, ApprovalGate, Decision, parts_of, request_digest
from crypto_core.keys.changes.change import ChangeKind
from crypto_core.reencryption.jobs.undo import PURGE, RESTORE
from crypto_core.reencryption.plan import Verb
from crypto_core.values.errors import ApprovalNeededError, ReadOnlyError, RefusedError

ANA = "arn:aws:sts::123456789012:assumed-role/oncall/ana"
BEN = "arn:aws:sts::123456789012:assumed-role/oncall/ben"
EVE = "arn:aws:iam::123456789012:user/eve"
PLAN = {"does": ["The key can't wrap or open."], "tokens": 0}


@dataclass(slots=True)
class Desk:
    """Consoles of several people over one database, with a clock that the test sets."""

    container: Container
    now: datetime = field(default_factory=lambda: datetime(2026, 11, 26, 12, 0, tzinfo=UTC))

    def of(
        self, who: str, *, needed: tuple[str, ...] = ("keys disable",), read_only: bool = False
    ) -> ApprovalBook:
        journal = Journal(self.container.engine, lambda: f"{who}, database role operator")
        return ApprovalBook(
            *(self.container.engine, journal, lambda: who, needed),
            tokens=self.container.engine,
            minutes=30,
            clock=lambda: self.now,
            read_only=read_only,
        )

    def told(self) -> list[tuple[str, str, str]]:
        entries = self.container.journal.entries()
        return [(e.action, e.outcome, e.actor.partition(",")[0].rpartition("/")[2]) for e in entries]


@pytest.fixture
def desk(services: Container) -> Desk:
    return Desk(services)


def wanted(book: ApprovalGate, digest: str = "d1", action: str = "keys disable") -> ApprovalNeededError:
    """What is said to whoever wants to do it."""
    with pytest.raises(ApprovalNeededError) as caught:
        book.require(action, "Disable alias/tokens-old", digest, PLAN)
    return caught.value


def test_the_list_of_actions_is_whole() -> None:
    changes = {f"keys {kind.value}" for kind in ChangeKind}
    others = {RESTORE, PURGE, "enter token", "revoke", "guard", "backups restore", "incident accept-lost"}
    others |= {"journal break", "tripwire add", "tripwire remove", "tripwire reseal"}
    others |= {"whose index build", "whose index drop"}
    assert set(ACTIONS) == {*changes, *(verb.value for verb in Verb), *others}


def test_only_what_the_settings_name_needs_it(desk: Desk) -> None:
    book = desk.of(ANA, needed=("keys disable", "revoke"))
    revoking = ("revoke", "revoke tokens")
    assert all(book.needed(action) for action in ("keys disable", *revoking))
    assert not any(book.needed(a) for a in ("keys enable", "reencrypt", "keys"))
    every = desk.of(ANA, needed=("all",))
    assert all(every.needed(action) for action in (*ACTIONS, *revoking))
    # Asked for by the service that does it: one approval is enough.
    assert not any(every.needed(action) for action in ("incident disable-key", "incident revoke-tokens"))
    nobody = desk.of("", needed=())
    nobody.require("keys disable", "Disable it", "d1", PLAN)
    assert desk.told() == []


def test_a_second_person_approves_and_it_goes_through_once(desk: Desk) -> None:
    ana, ben = desk.of(ANA), desk.of(BEN)
    error = wanted(ana)
    assert f"keydeck approvals approve {error.request}" in error.remedy
    assert "2026-11-26 12:30 UTC" in str(error)
    assert wanted(ana).request == error.request
    (waiting,) = ben.requests()
    assert (str(waiting.id), waiting.requested_by, waiting.plan) == (error.request, ANA, PLAN)
    assert ben.decide(waiting, approve=True).decision is Decision.APPROVED
    assert ben.requests() == ()
    ana.require("keys disable", "Disable alias/tokens-old", "d1", PLAN)
    assert ana.show(waiting.id).decision is Decision.USED
    assert (ana.show(waiting.id).decided_by, ana.show(waiting.id).decided_at) == (BEN, desk.now)
    assert wanted(ana).request != error.request
    assert desk.told() == [
        ("approvals request", "done", "ana"),
        ("approvals approve", "done", "ben"),
        ("approvals use", "done", "ana"),
        ("approvals request", "done", "ana"),
    ]
    details = [json.loads(e.detail) for e in desk.container.journal.entries()]
    assert len({d["shown"] for d in details}) == 1
    assert details[1]["decided_by"] == BEN


@pytest.mark.parametrize(
    "again", [ANA, ANA.replace("oncall", "responder"), "arn:aws:iam::123456789012:user/Ana"]
)
def test_nobody_approves_their_own_on_whatever_console(desk: Desk, again: str) -> None:
    error = wanted(desk.of(ANA))
    (waiting,) = desk.of(again).requests()
    with pytest.raises(RefusedError, match="you can't approve your own"):
        desk.of(again).decide(waiting, approve=True)
    assert wanted(desk.of(ANA)).request == error.request
    assert ("approvals approve", "refused") in [entry[:2] for entry in desk.told()]


def test_an_approval_is_for_one_plan_one_action_and_who_asked(desk: Desk) -> None:
    ana, ben, eve = desk.of(ANA), desk.of(BEN), desk.of(EVE)
    error = wanted(ana)
    ben.decide(ben.requests()[0], approve=True)
    both = desk.of(ANA, needed=("all",))
    others = [wanted(ana, "d2"), wanted(both, "d1", "keys schedule-deletion"), wanted(eve), wanted(ben)]
    assert error.request not in {other.request for other in others}
    ana.require("keys disable", "Disable alias/tokens-old", "d1", PLAN)


def test_what_is_over_is_neither_approved_nor_used(desk: Desk) -> None:
    ana, ben = desk.of(ANA), desk.of(BEN)
    first, second = wanted(ana), wanted(ana, "d2")
    ids = {a.digest: a for a in ben.requests()}
    ben.decide(ids["d1"], approve=True)
    desk.now += timedelta(minutes=30)
    assert ben.requests() == ()
    assert [a.decision for a in ben.requests(pending=False)] == [Decision.EXPIRED] * 2
    with pytest.raises(RefusedError, match="is expired"):
        ben.decide(ids["d2"], approve=True)
    assert wanted(ana).request != first.request
    assert wanted(ana, "d2").request != second.request


def test_a_denial_ends_it_also_after_an_approval(desk: Desk) -> None:
    ana, ben, eve = desk.of(ANA), desk.of(BEN), desk.of(EVE)
    error = wanted(ana)
    request = ben.requests()[0]
    ben.decide(request, approve=True)
    assert eve.decide(request, approve=False).decision is Decision.DENIED
    for book in (ben, eve):
        with pytest.raises(RefusedError, match=r"is denied by .*user/eve"):
            book.decide(request, approve=True)
    with pytest.raises(RefusedError, match=r"denied by .*user/eve") as caught:
        ana.require("keys disable", "Disable alias/tokens-old", "d1", PLAN)
    assert error.request in str(caught.value)
    desk.now += timedelta(minutes=30)
    assert wanted(ana).request != error.request


def test_who_takes_back_a_request_may_ask_again(desk: Desk) -> None:
    ana = desk.of(ANA)
    error = wanted(ana)
    ana.decide(ana.requests()[0], approve=False)
    assert wanted(ana).request != error.request


def test_of_many_consoles_one_uses_an_approval(desk: Desk) -> None:
    wanted(desk.of(ANA))
    ben = desk.of(BEN)
    ben.decide(ben.requests()[0], approve=True)
    consoles, barrier = [desk.of(ANA) for _ in range(6)], Barrier(6)

    def tries(book: ApprovalBook) -> str:
        barrier.wait(timeout=30)
        try:
            book.require("keys disable", "Disable alias/tokens-old", "d1", PLAN)
        except ApprovalNeededError as error:
            return error.request
        return "passed"

    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(tries, consoles))
    assert ends.count("passed") == 1
    # The others found it used up, and have one new request between them.
    assert len(set(ends)) == 2
    assert [entry[0] for entry in desk.told()].count("approvals use") == 1
    assert desk.container.journal.verify() is None


def test_an_advisory_lock_that_anybody_can_take_stops_no_request(desk: Desk, superuser: Engine) -> None:
    with superuser.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(1801740656)"))  # the letters kdap
        assert wanted(desk.of(ANA)).request


def test_who_is_not_known_neither_asks_nor_approves(desk: Desk) -> None:
    wanted(desk.of(ANA))
    request = desk.of(ANA).requests()[0]
    for who in ("", "AWS identity not known", f"{ANA[:-3]}botocore-session-1764144000"):
        with pytest.raises(RefusedError):
            desk.of(who).decide(request, approve=True)
        with pytest.raises(RefusedError):
            desk.of(who).require("keys disable", "Disable it", "d9", PLAN)
    assert desk.of(BEN).show(request.id).decision is Decision.PENDING


def test_an_approval_that_was_written_into_the_table_by_who_asked_does_not_pass(
    desk: Desk, superuser: Engine
) -> None:
    wanted(desk.of(ANA))
    for by in ("", ANA, f"{ANA[:-3]}ANA"):
        with superuser.begin() as connection:
            forged = "UPDATE keydeck.approval SET decision = 'approved', decided_by = :by"
            connection.execute(text(forged), {"by": by})
        with pytest.raises(RefusedError):
            desk.of(ANA).require("keys disable", "Disable it", "d1", PLAN)


def test_read_only_looks_and_does_nothing(desk: Desk) -> None:
    wanted(desk.of(ANA))
    looking = desk.of(BEN, read_only=True)
    request = looking.requests()[0]
    with pytest.raises(ReadOnlyError):
        looking.decide(request, approve=True)
    with pytest.raises(ReadOnlyError):
        looking.require("keys disable", "Disable it", "d2", PLAN)
    assert len(desk.told()) == 1


def test_there_is_no_request_of_a_number_that_was_made_up(desk: Desk) -> None:
    found = desk.of(BEN).request("keys disable", "Disable it", "d1", PLAN)
    for ask in (
        desk.of(BEN).show,
        lambda made_up: desk.of(ANA).decide(replace(found, id=made_up), approve=True),
    ):
        with pytest.raises(RefusedError, match="There is no request"):
            ask(uuid4())


def test_hostile_texts_are_cleaned_and_a_long_one_says_that_it_is_cut(
    desk: Desk, superuser: Engine, sandbox_output: Callable[..., str]
) -> None:
    hostile = "[/red]\x1b[31m\x00\u202e\ud800" + "x" * 9000
    plan = {"does\x1b]0;x\x07": [hostile, {"deep": hostile}], "n": 1.5, "none": None, "yes": True}
    with pytest.raises(ApprovalNeededError) as caught:
        desk.of(ANA).require("keys disable", hostile, "d1", plan)
    assert str(caught.value).isprintable()
    (found,) = desk.of(BEN).requests()
    (name,) = (n for n in found.plan if n.startswith("does"))
    text_, deep = found.plan[name]
    for shown in (found.summary, name, text_, deep["deep"]):
        assert shown.isprintable()
    assert (len(text_), text_[-1], text_[:11]) == (LONGEST_TEXT, "…", "[/red][31mx")
    assert (found.plan["n"], found.plan["none"], found.plan["yes"]) == (1.5, None, True)
    with superuser.begin() as connection:
        forged = "UPDATE keydeck.approval SET requested_by = :it, action = :it, summary = :it, plan = :plan"
        dirty = "\x1b[31m\u202e[/red]"
        connection.execute(text(forged), {"it": dirty, "plan": json.dumps({dirty: [dirty]})})
    parts = parts_of(desk.of(BEN).read(found.id))
    with superuser.begin() as connection:
        sealed = "UPDATE keydeck.approval SET parts = :parts, request_digest = :digest"
        connection.execute(text(sealed), {"parts": json.dumps(parts), "digest": request_digest(parts)})
    for arguments in (
        ("list",),
        ("show", str(found.id)),
        ("list", "--json"),
        ("show", str(found.id), "--json"),
    ):
        output = sandbox_output("approvals", *arguments)
        assert "[/red]" in output
        assert "\x1b" not in output
        assert "\u202e" not in output


@pytest.fixture
def sandbox_output(
    keydeck: Callable[..., object], monkeypatch: pytest.MonkeyPatch, desk: Desk
) -> Callable[..., str]:
    """What a command prints; requests of the test's clock are long over, so all are listed."""

    def output(*arguments: str) -> str:
        more = ("--all",) if arguments[1] == "list" else ()
        ran = keydeck(*arguments, *more)
        assert ran.exit_code == 0, ran.stderr  # type: ignore[attr-defined]
        return str(ran.stdout)  # type: ignore[attr-defined]

    return output
