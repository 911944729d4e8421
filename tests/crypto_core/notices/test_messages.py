"""Messages: templates that run nothing, texts from outside that do nothing, hours in which less is sent."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.sandbox.provider_tokens import MARKER
from crypto_core.findings.finding import Severity
from crypto_core.notices.notice import (
    FIELDS,
    Notice,
    NoticeKind,
    QuietHours,
    Receiver,
    Template,
    checked_template,
    notice_id,
    outward,
)
from crypto_core.values.errors import SettingsError
from crypto_core.values.json_records import record_of

NOW = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)
HOSTILE = "\x1b[31m<!channel> <@U1> @everyone @Here\u202e\n`x` <https://evil.example|click> ghp_" + "a1B2" * 9


def notice(**more: str) -> Notice:
    texts = {"title": "Incident declared: INC-7", "who": "ana"} | more
    return Notice("n1", NoticeKind.INCIDENT, Severity.CRITICAL, NOW, **texts)


def test_a_message_has_what_is_known_and_no_line_for_what_is_not() -> None:
    message = Template().message([notice(command="keydeck incident show 7")], "prod")
    assert message.title == "prod critical: Incident declared: INC-7"
    assert message.body.splitlines() == [
        "Incident declared: INC-7",
        "By: ana",
        "Look at it: keydeck incident show 7",
        "At 2026-11-29 09:30:00 UTC, id n1",
    ]


def test_a_template_of_ones_own_names_fields_alone() -> None:
    own = Template(checked_template("{{{kind}}} {title}"), checked_template("{severity}"))
    message = own.message([notice()])
    assert (message.title, message.body) == ("{incident} Incident declared: INC-7", "critical")
    for field in FIELDS:
        assert checked_template(f"{{{field}}}")
    for wrong in (
        "{token}",
        "{title.__class__}",
        "{title[0]}",
        "{title!r}",
        "{title:>9}",
        "{0}",
        "{}",
        "{title",
    ):
        with pytest.raises(SettingsError):
            checked_template(wrong)


def test_many_notices_are_one_message_that_names_the_worst_first_and_counts_the_rest() -> None:
    many = [Notice(f"n{i}", NoticeKind.FINDING, Severity.LOW, NOW, f"rule {i}") for i in range(30)]
    message = Template().message([*many, notice()], "prod")
    lines = message.body.splitlines()
    assert message.title == "prod critical: 31 notices, such as Incident declared: INC-7"
    assert lines[0] == "critical Incident declared: INC-7 (n1)"
    assert lines[-1] == "and 11 more: keydeck notify list"


@given(st.text())
def test_no_text_from_outside_is_a_command_to_a_chat(text: str) -> None:
    made = Template().message([notice(title=f"{text}{HOSTILE}", subject=text, detail=HOSTILE)])
    for said in (made.title, made.body):
        assert not {"<", ">", "`", "\x1b", "\u202e"} & set(said)
        assert "@everyone" not in said
        assert "@here" not in said.lower()
        assert "a1B2a1B2" not in said
    assert "\n" not in made.title


def test_what_looks_like_a_secret_is_in_no_notice() -> None:
    stored = notice(detail=f"ghp_{MARKER}{'a1B2' * 9}", remedy="postgresql://ana:hunter2@db/x").as_json()
    assert MARKER not in str(stored)
    assert "hunter2" not in str(stored)
    assert record_of(Notice, stored).as_json() == stored
    assert outward(outward(HOSTILE, 200), 200) == outward(HOSTILE, 200)


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_other_parts_have_another_id(one: list[str], other: list[str]) -> None:
    assert (notice_id(*one) == notice_id(*other)) == (one == other)


def test_quiet_hours_are_those_of_a_place_and_let_the_worst_pass() -> None:
    berlin = QuietHours(time(22), time(7), ZoneInfo("Europe/Berlin"))
    held = {hour: berlin.holds(Severity.HIGH, NOW.replace(hour=hour, minute=0)) for hour in range(24)}
    assert [hour for hour, held_then in held.items() if held_then] == [0, 1, 2, 3, 4, 5, 21, 22, 23]
    assert not berlin.holds(Severity.CRITICAL, NOW.replace(hour=23))
    nobody = QuietHours(time(9), time(17), UTC, Severity.NONE)
    assert nobody.holds(Severity.CRITICAL, NOW)
    assert not nobody.holds(Severity.LOW, NOW.replace(hour=17, minute=0))


def test_a_receiver_gets_its_kinds_and_what_is_bad_enough() -> None:
    pager = Receiver("pager", "pagerduty://key@x", frozenset({NoticeKind.INCIDENT}), Severity.HIGH)
    assert pager.wants(notice())
    assert not pager.wants(Notice("n", NoticeKind.INCIDENT, Severity.LOW, NOW, "t"))
    assert not pager.wants(Notice("n", NoticeKind.FINDING, Severity.CRITICAL, NOW, "t"))
    assert "key@x" not in repr(pager)
