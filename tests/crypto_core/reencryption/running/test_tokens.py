"""One token and many are written anew and hold what they held."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.corruption import Corruption
from console.sandbox.world import World
from console.settings import load
from crypto_core.envelope import Format, parse
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.plan import RunProgress, Selection, Verb
from crypto_core.values.references import RowRef
from tests.console.command_types import NewKey
from tests.crypto_core.reencryption.running.runs import all_hold_their_tokens, everything, plan, run, under


@pytest.mark.parametrize("verb", [Verb.REWRAP, Verb.REENCRYPT])
def test_one_token_is_moved_to_another_key(
    services: Container, world: World, platform: Engine, cipher: TokenCipher, verb: Verb
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    before = everything(platform)
    result = run(services, verb, Selection((ref,)), world.current_key.arn)
    assert (result.done, result.complete, result.stopped_by, result.planned) == (1, True, "", 1)
    # The envelope does not name its key, and the other trusted key is asked first. To rewrap, the right one
    # is found by opening; of what is re-encrypted in a run, KMS opens the first new envelope.
    assert result.kms_calls == verb.calls_per_token() + 2
    after = everything(platform)
    assert {r for r in after if after[r] != before[r]} == {ref}
    opened = cipher.open(after[ref])
    assert opened.token.reveal() == world.token_for(ref)
    assert opened.wrapped_by.key_arn == world.current_key.arn
    assert opened.wrapped_by.key_material_id == world.current_key.material_ids[-1]
    old, new = parse(before[ref]), parse(after[ref])
    assert old.encrypted_data_key != new.encrypted_data_key
    same = (old.nonce, old.ciphertext) == (new.nonce, new.ciphertext)
    assert same is (verb is Verb.REWRAP)
    row = services.services.inventory.row(ref)
    assert (row.key_arn, row.evidence) == (world.current_key.arn, "verified")


@pytest.mark.parametrize("format_", [Format.PLAINTEXT, Format.DEV])
def test_one_token_is_encrypted_in_place(
    services: Container, world: World, platform: Engine, cipher: TokenCipher, format_: Format
) -> None:
    ref = next(r for r, t in world.tokens.items() if t.format is format_)
    result = run(services, Verb.ENCRYPT, Selection((ref,)), world.current_key.arn)
    assert (result.done, result.complete, result.kms_calls) == (1, True, 2)
    assert cipher.decrypt(everything(platform)[ref]).reveal() == world.token_for(ref)


def test_a_row_reference_moves_every_token_of_the_row(
    services: Container, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    refresh = next(
        r
        for r in world.sealed_under(world.old_key)
        if (r.table, r.column) == ("gh_connection", "refresh_token")
    )
    row = RowRef("gh_connection", refresh.row_id)
    assert run(services, Verb.REENCRYPT, Selection((row, refresh)), world.current_key.arn).done == 2
    for ref in services.catalogue().references(row):
        opened = cipher.open(everything(platform)[ref])
        assert opened.token.reveal() == world.token_for(ref)
        assert opened.wrapped_by.key_arn == world.current_key.arn


def test_the_alias_of_a_key_may_name_the_target(services: Container, world: World, platform: Engine) -> None:
    ref = world.sealed_under(world.old_key)[0]
    made = plan(services, Verb.REENCRYPT, Selection((ref,)), world.current_key.alias)
    assert (made.target_key_arn, made.target_name) == (world.current_key.arn, world.current_key.alias)
    assert services.services.work.run_plan(made, Consent.by_option(made)).done == 1


def test_a_token_can_move_to_a_key_that_is_not_configured(
    services: Container, world: World, platform: Engine, new_key: NewKey
) -> None:
    target, ref = new_key(), world.sealed_under(world.current_key)[0]
    assert run(services, Verb.REENCRYPT, Selection((ref,)), target).complete
    opened = TokenCipher(services.keyring.trusting(target)).open(everything(platform)[ref])
    assert (opened.token.reveal(), opened.wrapped_by.key_arn) == (world.token_for(ref), target)


@pytest.mark.parametrize("verb", [Verb.REWRAP, Verb.REENCRYPT])
@pytest.mark.usefixtures("small_pages")
def test_a_key_is_emptied_and_every_token_is_what_it_was(
    services: Container, world: World, platform: Engine, cipher: TokenCipher, superuser: Engine, verb: Verb
) -> None:
    old = world.old_key
    before = everything(platform)
    told: list[RunProgress] = []
    result = run(services, verb, Selection(under_key=old.alias), world.current_key.arn, progress=told.append)
    intact = set(world.sealed_under(old))
    assert result.done == len(intact)
    assert (result.remaining, result.stopped_by, result.interrupted) == (0, "", False)
    assert all(p.total == result.planned for p in told)
    assert [p.done for p in told] == sorted(p.done for p in told)
    after = everything(platform)
    assert {r for r in after if after[r] != before[r]} == intact
    assert all_hold_their_tokens(cipher, platform, world)
    assert under(services, old.arn) == 0
    with superuser.connect() as connection:
        kept = connection.execute(
            text("SELECT token_column, row_id, envelope, key_arn FROM keydeck.envelope_backup")
        ).all()
    assert {(c, i): (e, k) for c, i, e, k in kept} == {
        (f"{r.table}.{r.column}", r.row_id): (before[r], old.arn) for r in intact
    }


def test_the_broken_tokens_of_an_emptied_key_are_told_and_left_byte_for_byte(
    services: Container, world: World, platform: Engine
) -> None:
    before = everything(platform)
    broken = {r for r in world.corrupt if world.tokens[r].format is Format.V1}
    result = run(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn)
    assert {u.reference for u in result.poisoned} == {str(r) for r in broken}
    assert all(u.reason for u in result.poisoned)
    assert not result.complete
    assert (result.done, result.remaining) == (world.by_format[Format.V1] - len(broken), 0)
    after = everything(platform)
    assert {r: after[r] for r in broken} == {r: before[r] for r in broken}
    swapped = next(r for r, c in world.corrupt.items() if c is Corruption.SWAPPED_DATA_KEY)
    assert any(str(swapped) == u.reference and "tag" in u.reason for u in result.poisoned)


@pytest.mark.deep
def test_a_second_run_finds_nothing_left_to_do(services: Container, world: World) -> None:
    selection = Selection(under_key=world.old_key.arn)
    run(services, Verb.REENCRYPT, selection, world.current_key.arn)
    again = plan(services, Verb.REENCRYPT, selection, world.current_key.arn)
    assert again.tokens == 0
    result = services.services.work.run_plan(again, Consent.by_option(again))
    assert (result.done, result.remaining, result.complete) == (0, 0, True)


@pytest.mark.usefixtures("small_pages")
def test_everything_unprotected_is_encrypted_in_place(
    services: Container, world: World, platform: Engine, cipher: TokenCipher, superuser: Engine
) -> None:
    result = run(services, Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    refs = {*world.plaintext_refs, *world.dev_refs}
    assert (result.done, result.complete, result.kms_calls) == (len(refs), True, 2 * len(refs))
    stored = everything(platform)
    assert all(cipher.decrypt(stored[ref]).reveal() == world.token_for(ref) for ref in refs)
    status = services.services.status.take_census()
    assert status.by_format[Format.PLAINTEXT] == status.by_format[Format.DEV] == 0
    assert status.by_format[Format.UNRECOGNISED] == world.by_format[Format.UNRECOGNISED]
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup")) == 0


def test_every_envelope_gets_a_new_data_key(
    services: Container, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    before = everything(platform)
    run(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn)
    after = everything(platform)
    for ref, token in world.tokens.items():
        if token.format is Format.V1 and token.corruption is None:
            old, new = parse(before[ref]), parse(after[ref])
            assert old.nonce != new.nonce
            assert old.ciphertext != new.ciphertext
    assert all_hold_their_tokens(cipher, platform, world)
    status = services.services.status.take_census()
    assert {s.key_arn for s in status.keys if s.key_arn} == {world.current_key.arn}


def test_dev_tokens_under_another_dev_key_are_left_alone(
    services: Container, world: World, platform: Engine, environment: dict[str, str]
) -> None:
    from cryptography.fernet import Fernet

    before = everything(platform)
    container = Container(load({"dev_key": Fernet.generate_key().decode()}).settings)
    result = run(container, Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    container.close()
    assert {u.reference for u in result.poisoned} == set(map(str, world.dev_refs))
    assert (result.done, result.remaining) == (len(world.plaintext_refs), 0)
    after = everything(platform)
    assert all(after[ref] == before[ref] for ref in world.dev_refs)
    assert "development key" in result.poisoned[0].reason
