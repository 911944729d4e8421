"""Consent is checked where the action is executed, whatever a screen or a command has asked before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from console.container import Container
from console.sandbox.world import World
from crypto_core.envelope import Format
from crypto_core.guard.consent import Consent, Danger, Origin, require
from crypto_core.reencryption.plan import Plan, Selection, Verb
from crypto_core.values.errors import NotConfirmedError, RefusedError


@dataclass(frozen=True)
class Deed:
    danger: Danger
    digest: str = "this"
    confirmation: str = "12000"


def test_a_press_is_enough_for_one_token_and_for_nothing_more() -> None:
    for enough in (Deed(Danger.NONE), Deed(Danger.CONFIRM)):
        assert require(Consent.pressed(enough), enough).origin is Origin.PRESSED
    several = Deed(Danger.TYPED)
    with pytest.raises(NotConfirmedError, match="type 12000 to confirm"):
        require(Consent.pressed(several), several)


@pytest.mark.parametrize("danger", Danger)
def test_what_is_typed_has_to_be_right_whatever_the_danger(danger: Danger) -> None:
    deed = Deed(danger)
    for right in ("12000", " 12000 ", "12,000"):
        assert require(Consent.typed(deed, right), deed).origin is Origin.TYPED
    for wrong in ("", "1200", "120000", "12 000", "12000.0", "yes", "１２０００"):
        with pytest.raises(NotConfirmedError, match="is not 12000"):
            require(Consent.typed(deed, wrong), deed)


def test_a_name_is_typed_as_it_is() -> None:
    deed = Deed(Danger.TYPED, confirmation="alias/tokens")
    assert require(Consent.typed(deed, "alias/tokens"), deed)
    with pytest.raises(NotConfirmedError):
        require(Consent.typed(deed, "alias/Tokens"), deed)


@pytest.mark.parametrize("danger", Danger)
def test_the_option_is_enough_for_what_it_was_given_to(danger: Danger) -> None:
    deed = Deed(danger)
    assert require(Consent.by_option(deed), deed).origin is Origin.OPTION


@pytest.mark.parametrize("danger", Danger)
def test_no_consent_and_one_to_something_else_are_refused(danger: Danger) -> None:
    deed, other = Deed(danger), Deed(danger, digest="that")
    given = (Consent.pressed(other), Consent.typed(other, "12000"), Consent.by_option(other), None)
    for consent in given:
        with pytest.raises(RefusedError):
            require(consent, deed)


# Plans


@pytest.fixture
def several(services: Container, world: World) -> Plan:
    refs = tuple(world.sealed_under(world.old_key)[:3])
    return services.services.work.plan_reencryption(Verb.REENCRYPT, Selection(refs), world.current_key.arn)


@pytest.fixture
def single(services: Container, world: World) -> Plan:
    refs = tuple(world.sealed_under(world.old_key)[:1])
    return services.services.work.plan_reencryption(Verb.REENCRYPT, Selection(refs), world.current_key.arn)


def test_a_plan_says_how_much_asking_it_takes(several: Plan, single: Plan) -> None:
    assert (several.danger, several.confirmation) == (Danger.TYPED, "3")
    assert (single.danger, single.confirmation) == (Danger.CONFIRM, "1")
    assert replace(single, tokens=0).danger is Danger.NONE


def test_a_plan_made_again_is_the_same_one(services: Container, several: Plan) -> None:
    again = services.services.work.plan_reencryption(several.verb, several.selection, several.target_key_arn)
    assert again.digest == several.digest
    assert len(again.digest) == 64
    assert replace(several, warnings=("The dry run was not journaled.",)).digest == several.digest


@pytest.mark.parametrize(
    "change",
    [
        {"verb": Verb.REWRAP},
        {"target_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"},
        {"source_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"},
        {"selection": Selection(everything=True)},
        {"tokens": 4},
        {"by_column": {"jira_connection.access_token": 3}},
        {"by_format": {Format.DEV: 3}},
        {"write_format": Format.V2},
        {"allow_downgrade": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_done_otherwise_takes_a_consent_of_its_own(several: Plan, change: dict[str, Any]) -> None:
    assert replace(several, **change).digest != several.digest


def test_other_tokens_take_a_consent_of_their_own(several: Plan) -> None:
    for scope in (
        replace(several.scope, references=several.scope.references[:2] if several.scope.references else ()),
        replace(several.scope, formats=frozenset({Format.V1})),
        replace(several.scope, unasked=True),
    ):
        assert replace(several, scope=scope).digest != several.digest


# The service


@pytest.mark.parametrize("origin", Origin)
def test_the_journal_says_how_the_operator_agreed(
    services: Container, several: Plan, single: Plan, origin: Origin
) -> None:
    plan, consent = {
        Origin.PRESSED: (single, Consent.pressed(single)),
        Origin.TYPED: (several, Consent.typed(several, "3")),
        Origin.OPTION: (several, Consent.by_option(several)),
    }[origin]
    assert services.services.work.run_plan(plan, consent).complete
    [started] = [e for e in services.journal.entries() if e.outcome == "started"]
    assert f'"consent": "{origin.value}"' in started.detail
    assert f'"plan": "{plan.digest}"' in started.detail
    assert services.journal.verify() is None


def test_the_command_agrees_by_its_option_and_only_by_it(
    services: Container, world: World, keydeck: Callable[..., Any]
) -> None:
    ref = str(world.sealed_under(world.old_key)[0])
    command = ("reencrypt", ref, "--to", world.current_key.arn)
    assert keydeck(*command).exit_code == 2
    assert not [e for e in services.journal.entries() if e.outcome == "started"]
    assert keydeck(*command, "--yes").exit_code == 0
    [started] = [e for e in services.journal.entries() if e.outcome == "started"]
    assert '"consent": "option"' in started.detail
