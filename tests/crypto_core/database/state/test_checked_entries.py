"""Decisions rest on entries that the database checked: what a login writes as text decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.schema import journal
from crypto_core.database.state.incidents import IncidentStore
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.database.state.journal_entry import witnessed
from crypto_core.database.tokens.tripwire_list import TripwireDocument
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.operations import KeydeckRole
from crypto_core.incidents.keys.accepted_losses import read_acceptances
from crypto_core.incidents.model import IncidentScope
from crypto_core.values.errors import ConflictError, EvidenceError
from tests.adversary.ground import role_of
from tests.crypto_core.statements import scalar

RESERVED = (
    *("approvals request", "approvals approve", "approvals deny", "approvals use"),
    *("evidence purge", "evidence record", "incident evidence", "journal checkpoint", "tripwire list"),
)
APPEND = text("SELECT keydeck.append_to_journal('ana', 'host', :action, 'x', 'done', :detail)")
NOT_ALLOWED, WRONG, TWICE = "42501", "22023", "23505"
HEX, RUN = "ab" * 32, "11111111-1111-1111-1111-111111111111"
SIGNED = {"key_arn": "arn:x", "algorithm": "ECDSA_SHA_256", "signature": "QUJDREVGR0hJSktMTU5PUFFSUw=="}


@pytest.fixture
def login(services: Container, superuser: Engine) -> Iterator[Callable[[KeydeckRole], Engine]]:
    """Gives logins with exactly what `keydeck grants` prints."""
    with ExitStack() as stack:
        yield lambda role: stack.enter_context(role_of(role, services, superuser))


@pytest.fixture
def operator(login: Callable[[KeydeckRole], Engine]) -> Engine:
    return login(KeydeckRole.OPERATOR)


def call(engine: Engine, function: str, **arguments: Any) -> Any:
    """Call a function of Keydeck's as somebody's client would, without Keydeck."""
    named = {"actor": "ana", "host": "h", **arguments}
    statement = f"SELECT keydeck.{function}({', '.join(f'{name} => :{name}' for name in named)})"
    return scalar(engine, statement, **named)


def refused(engine: Engine, function: str, **arguments: Any) -> str:
    """Return the SQLSTATE with which a call is refused."""
    with pytest.raises(DBAPIError) as caught:
        call(engine, function, **arguments)
    return str(caught.value.orig.pgcode)  # type: ignore[union-attr]


@pytest.mark.parametrize("action", [*RESERVED, "journal break"])
def test_an_action_that_decides_something_is_no_text(
    operator: Engine, services: Container, action: str
) -> None:
    before = services.journal.entries()
    with pytest.raises(DBAPIError) as caught, operator.begin() as connection:
        connection.execute(APPEND, {"action": action, "detail": "garbage"})
    assert caught.value.orig.pgcode == NOT_ALLOWED  # type: ignore[union-attr]
    assert services.journal.entries() == before


@pytest.mark.parametrize("action", [f" {RESERVED[-1]}", RESERVED[-1].upper(), "keys block"])
def test_what_is_written_as_text_says_so_under_its_digest(
    operator: Engine, services: Container, forge: Callable[..., None], action: str
) -> None:
    with operator.begin() as connection:
        number = connection.scalar(text("SELECT txid_current()"))
        connection.execute(APPEND, {"action": action, "detail": "{}"})
        noted = connection.scalar(text("SELECT max(transaction_id) FROM keydeck.journal"))
        assert connection.execute(select(journal.c.seq).where(witnessed(action))).all() == []
    (entry,) = services.journal.entries(limit=1)
    assert (entry.checked, noted) == (False, number)
    assert services.journal.verify() is None
    forge(f"UPDATE keydeck.journal SET checked = true WHERE seq = {entry.seq}")
    assert services.journal.verify() == f"Entry {entry.seq} was changed."


@pytest.mark.quick(2)
@pytest.mark.parametrize("role", list(KeydeckRole))
def test_nobody_makes_entries_past_the_functions_that_check(
    login: Callable[[KeydeckRole], Engine], services: Container, role: KeydeckRole
) -> None:
    statements = (
        "SELECT keydeck.make_entry('a', 'h', 'approvals use', 's', 'done', '{}', true)",
        "SELECT keydeck.checked_actions()",
        "CREATE OR REPLACE FUNCTION keydeck.checked_actions() RETURNS text[] LANGUAGE sql AS 'SELECT NULL'",
        "INSERT INTO keydeck.journal_checkpoint DEFAULT VALUES",
        "INSERT INTO keydeck.incident_evidence DEFAULT VALUES",
        "INSERT INTO keydeck.tripwire DEFAULT VALUES",
        "UPDATE keydeck.tripwire SET document = 'x'",
        "SELECT version FROM keydeck.tripwire FOR UPDATE",
    )
    engine = login(role)
    for statement in statements:
        with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
            connection.exec_driver_sql(statement)
        assert caught.value.orig.pgcode == NOT_ALLOWED, statement  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "changed",
    [
        {"seq": 999_999},
        {"digest": "00" * 32},
        {"database_id": str(uuid4())},
        {"signature": "QUJD"},
        {"signature": None},
        {"key_arn": "garbage"},
        {"algorithm": "<b>"},
        {"at": "infinity"},
        {"broken": "garbage"},
    ],
)
def test_a_checkpoint_is_over_an_entry_that_is_there(
    operator: Engine, services: Container, changed: dict[str, Any]
) -> None:
    services.journal.record("rewrap", "x", Outcome.DONE)
    (last,) = services.journal.entries(limit=1)
    whole = {
        "seq": last.seq,
        "digest": last.digest.hex(),
        "at": datetime.now(UTC).isoformat(),
        "database_id": last.database_id,
        **SIGNED,
    }
    told = {"subject": "journal", "document": json.dumps(whole | changed), "broken": ""}
    assert refused(operator, "record_checkpoint", **told) in (WRONG, NOT_ALLOWED)
    assert JournalCheckpoints(services.journal, None, read_only=False).verify().problems == ()


def test_garbage_under_a_checkpoints_name_is_refused_and_verification_goes_on(
    operator: Engine, services: Container
) -> None:
    for document in ("garbage", "[]", "{}", "null", '"x"'):
        state = refused(operator, "record_checkpoint", subject="j", document=document, broken="")
        assert state in (WRONG, "22P02", "22023"), document
    assert JournalCheckpoints(services.journal, None, read_only=False).verify().problems == ()


def test_a_request_is_written_by_its_function_alone_decided_and_used_once_by_who_asked(
    operator: Engine, login: Callable[[KeydeckRole], Engine], superuser: Engine
) -> None:
    other = login(KeydeckRole.OPERATOR)
    database = str(scalar(superuser, "SELECT database_id FROM keydeck.journal_end"))
    row: dict[str, Any] = {
        "action": "keys disable",
        "summary": "Disable it",
        "digest": "d1",
        "plan": {"key": "alias/x"},
        "requested_by": "arn:ana",
        "requested_at": "2026-12-01T12:00:00Z",
        "expires_at": "2026-12-01T13:00:00Z",
        "database": "tokens",
        "database_id": database,
        "request_digest": HEX,
        "parts": {},
        "known": 0,
    }
    one, two = str(uuid4()), str(uuid4())

    def recorded(engine: Engine, deed: str, request: str = one, **changed: Any) -> Any:
        document = json.dumps({"id": request, "request_digest": HEX, "decided_by": "arn:ben", **changed})
        statement = "SELECT keydeck.record_approval('a', 'h', :action, CAST(:request AS jsonb), '{}')"
        return scalar(engine, statement, action=deed, request=document)

    def state(engine: Engine, deed: str, request: str = one, **changed: Any) -> str:
        with pytest.raises(DBAPIError) as caught:
            recorded(engine, deed, request, **changed)
        return str(getattr(caught.value.orig, "pgcode", ""))

    for wrong in (
        {"database_id": str(uuid4())},
        {"request_digest": "x"},
        {"requested_by": ""},
        {"expires_at": "infinity"},
    ):
        assert state(operator, "approvals request", **row | wrong) == WRONG, wrong
    claimed = {"decision": "approved", "login": "somebody", "decided_at": "2026-12-01T12:00:00Z"}
    assert recorded(operator, "approvals request", **row | claimed) > 0
    assert state(operator, "approvals request", two, **row) == "40001"
    for action in ("approvals use", "approvals show", "keys disable"):
        assert recorded(operator, action) is None, action
    assert recorded(operator, "approvals approve", request_digest="cd" * 32) is None
    assert recorded(operator, "approvals approve", two) is None
    assert recorded(operator, "approvals approve") > 0
    assert recorded(operator, "approvals approve") is None
    # Nobody else's login uses it up, and nobody's writes the row.
    assert recorded(other, "approvals use") is None
    for deed in (
        "UPDATE keydeck.approval SET decision = 'used'",
        "DELETE FROM keydeck.approval",
        "INSERT INTO keydeck.approval SELECT * FROM keydeck.approval",
        "LOCK TABLE keydeck.approval IN SHARE ROW EXCLUSIVE MODE",
    ):
        with pytest.raises(DBAPIError) as caught, operator.begin() as connection:
            connection.execute(text(deed))
        assert str(getattr(caught.value.orig, "pgcode", "")) == NOT_ALLOWED
    assert recorded(operator, "approvals use") > 0
    assert recorded(operator, "approvals use") is None
    assert recorded(operator, "approvals deny") is None
    with superuser.connect() as connection:
        made = connection.execute(
            select(journal.c.action, journal.c.checked, journal.c.detail).order_by(journal.c.seq)
        ).all()
    assert [(a, c) for a, c, _ in made] == [
        ("approvals request", True),
        ("approvals approve", True),
        ("approvals use", True),
    ]
    assert json.loads(made[-1].detail)["decided_by"] == "arn:ben"


def test_the_beginning_of_a_run_stands_once_and_waves_follow_it(
    operator: Engine, services: Container
) -> None:
    first = {"run": RUN, "terms": HEX, "scope": HEX}

    def told(**detail: Any) -> dict[str, str]:
        return {"action": "reencrypt", "subject": "s", "outcome": "started", "detail": json.dumps(detail)}

    wave = {"run": RUN, "scope": HEX}
    assert refused(operator, "record_job", **told(**wave, wave=2)) == WRONG
    for wrong in ({"terms": "x"}, {"scope": None}, {"wave": 1}):
        assert refused(operator, "record_job", **told(**first | wrong)) == WRONG, wrong
    assert refused(operator, "record_job", **told(**first) | {"outcome": "done"}) == WRONG
    call(operator, "record_job", **told(**first))
    assert refused(operator, "record_job", **told(**first | {"terms": "cd" * 32})) == WRONG
    call(operator, "record_job", **told(**wave, wave=2))
    for number in (1, 2, None, "x"):
        assert refused(operator, "record_job", **told(**wave, wave=number)) in (WRONG, "22P02"), number
    with operator.begin() as connection:
        forged = {"action": "reencrypt", "detail": json.dumps(first | {"terms": "cd" * 32})}
        outcome = text(str(APPEND).replace("'done'", "'started'"))
        connection.execute(outcome, forged)
    begun = services.journal.begun(UUID(RUN))
    assert [(one.get("terms"), one.get("wave")) for one in begun] == [(HEX, None), (None, 2)]


def test_evidence_is_of_an_open_incident_and_a_loss_of_its_key(
    login: Callable[[KeydeckRole], Engine], services: Container, world: World
) -> None:
    responder = login(KeydeckRole.RESPONDER)
    key = world.old_key.arn
    number = services.incident_response.incidents.declare("key-compromise", IncidentScope(key=key))
    place = ["gh_connection", "access_token", "1", None]
    loss = {"key_arn": key, "reason": "r", "number": 1, "tokens": [{"sha256": HEX, "place": place}]}

    def told(whole: Any, **changed: Any) -> dict[str, Any]:
        kept = {
            "incident": number,
            "step": "",
            "kind": "accepted-loss",
            "title": "t",
            "at": datetime.now(UTC),
        }
        return kept | {"content": json.dumps(whole)} | changed

    wrongs: tuple[dict[str, Any], ...] = (
        {"key_arn": world.current_key.arn},
        {"reason": ""},
        {"number": 19},
        {"tokens": []},
        {"tokens": "x"},
        {"tokens": [{"sha256": "x", "place": place}]},
        {"tokens": [{"sha256": HEX, "place": ["x"]}]},
    )
    for wrong in wrongs:
        assert refused(responder, "keep_evidence", **told(loss | wrong)) == WRONG, wrong
    for changed in ({"incident": number + 1}, {"kind": "x y"}, {"kind": ""}, {"title": ""}):
        assert refused(responder, "keep_evidence", **told(loss, **changed)) == WRONG, changed
    assert refused(responder, "keep_evidence", **told(loss, content="garbage")) == "22P02"
    piece = call(responder, "keep_evidence", **told(loss))
    assert json.loads(services.incident_response.incidents.evidence(number, piece)) == loss
    with pytest.raises(DBAPIError), responder.begin() as connection:
        connection.execute(text("UPDATE keydeck.incident_evidence SET content = '{}'"))


def test_the_list_of_tripwires_takes_its_versions_in_turn(operator: Engine, services: Container) -> None:
    told = {"subject": "tripwires", "version": 1, "document": "djJ8QUJD", "detail": "{}"}
    for document in ("djF8QUJD", "plain", "", "djJ8 QUJD"):
        state = refused(operator, "write_tripwire_list", **told | {"document": document})
        assert state == WRONG, document
    assert call(operator, "write_tripwire_list", **told | {"version": 2}) is None
    assert call(operator, "write_tripwire_list", **told) is not None
    assert call(operator, "write_tripwire_list", **told) is None
    (entry,) = services.journal.entries(limit=1)
    assert (entry.action, entry.checked, json.loads(entry.detail)["version"]) == ("tripwire list", True, 1)
    with pytest.raises(ConflictError):
        services.tripwire_list.write(TripwireDocument(), services.journal, "ana", {})


GARBAGE = ("garbage", "[]", "null", '{"evidence": [1]}', "")
FORGED = '{"evidence": 1, "sha256": "x"}'


def test_garbage_from_before_entries_were_checked_breaks_no_evidence_and_grants_nothing(
    services: Container, world: World, forge: Callable[..., None]
) -> None:
    """Whoever could append to the journal then could write these under any action."""
    key = world.old_key.arn
    number = services.incident_response.incidents.declare("key-compromise", IncidentScope(key=key))
    place = ["gh_connection", "access_token", "1", None]
    loss = {"key_arn": key, "reason": "r", "number": 1, "tokens": [{"sha256": HEX, "place": place}]}
    told = {"incident": number, "step": "", "kind": "accepted-loss", "title": "t", "at": datetime.now(UTC)}
    store = IncidentStore(services.engine, services.journal)

    def plant(*details: str) -> None:
        for action in (*RESERVED, "keys block"):
            for detail in details:
                services.journal.call("make_entry", action, f"INC-{number}", "done", detail, False)

    def age(which: str) -> None:
        forge(f"UPDATE keydeck.journal SET checked = NULL WHERE {which}")

    plant(FORGED, *GARBAGE)
    age("true")
    piece = call(services.engine, "keep_evidence", **told, content=json.dumps(loss))
    assert (piece, json.loads(store.content(number, piece))) == (1, loss)
    assert len(read_acceptances(store).losses) == 1
    assert services.incident_response.incidents.report(number, "json")
    assert services.tripwire_list.decoys(anew=True).rows == ()
    # An acceptance from then is none any more, and evidence counts unless another entry denies it.
    age("true")
    read = read_acceptances(store)
    assert (read.losses, len(read.troubles)) == ((), 1)
    with pytest.raises(EvidenceError, match="not what the journal says"):
        store.content(number, piece)
    assert services.incident_response.incidents.report(number, "json")


def test_an_approval_that_an_older_entry_used_stays_used(services: Container, superuser: Engine) -> None:
    asked = services.approvals.request("keys disable", "Disable it", "d1", {"key": "alias/x"})
    used = {"request": str(asked.id)}
    services.journal.call("make_entry", "approvals use", "s", "done", json.dumps(used), False)
    with superuser.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE keydeck.journal SET checked = NULL"))
        before = select(journal.c.seq).where(witnessed("approvals use", earlier=True))
        assert len(connection.execute(before).all()) == 1
        assert connection.execute(select(journal.c.seq).where(witnessed("approvals use"))).all() == []
