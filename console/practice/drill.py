"""The key-compromise response, played in the sandbox as text, from the first census to the proof."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
from sqlalchemy import select

from console.commands.status import print_status
from console.container import Container
from console.practice.game_day.runbook_work import ROLES, change_key
from console.printed.output import meter, print_marked, print_table
from console.printed.plan_words import print_plan, print_result
from console.settings import load
from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import envelope_backup
from crypto_core.database.tokens.fresh_proof import FreshProof
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS, ChangeKind, KeyChange
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.reencryption.plan import Plan, RunResult, Selection, Verb, Verification
from crypto_core.trail.rules.rule_context import name_of
from crypto_core.values.counts import counted
from crypto_core.values.errors import KeydeckError, KeyDisabledError, KmsError
from crypto_core.values.key_names import short_key
from crypto_core.values.references import TokenRef

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox

NEW_ALIAS = "alias/tokens-2"
INTRUDER = "user/intruder"
PASSED = "drill passed: 0 tokens under the compromised key"


class DrillFailedError(KeydeckError):
    """A step of the drill did not come out as it must."""


class Drill:
    """One drill. It changes the sandbox through the same services that the console uses."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._step = 0

    def play(self) -> int:
        with closing(Container(load().settings)) as services:
            try:
                self._play(services)
            except KeydeckError as error:
                click.echo(f"drill failed: {error}")
                return 1
        click.echo(PASSED)
        return 0

    def _play(self, services: Container) -> None:
        """All steps. From the fourth on, the services write under the new key, as the platform does."""
        old_key = self._sandbox.world.current_key.arn
        self._tell("Census: what is stored, and under which key")
        before = services.services.status.take_census()
        print_status(before)
        damaged = self._digests(services, self._sandbox.world.corrupt)

        self._tell("CloudTrail: who used the key in the last 7 days, and findings")
        self._trail(services, old_key)

        self._tell(f"KMS key {old_key} is declared compromised")
        under = before.tokens_under(old_key)
        click.echo(
            f"{under:,} tokens are under it. Rewrapping is not enough: anyone who could call Decrypt and read"
        )
        click.echo("the database holds their data keys. They are re-encrypted with new data keys.")
        _must(under > 0, "There is no token under the key to begin with.")

        self._tell("A new KMS key, with rotation on")
        new_key = self._create_key(services)
        services.close()
        trusted = (*services.settings.trusted_keys, old_key)
        settings = load({"write_key": new_key, "trusted_keys": trusted}).settings
        with closing(Container(settings)) as services:
            self._respond(services, old_key, new_key, damaged)

    def _respond(
        self, services: Container, old_key: str, new_key: str, damaged: Mapping[TokenRef, bytes]
    ) -> None:
        self._tell("Dry run: what would be re-encrypted")
        plan = self._plan(services, Verb.REENCRYPT, Selection(under_key=old_key), new_key)
        click.echo("Nothing has been changed.")

        self._tell("Re-encrypt every token under the old key")
        self._run(services, plan)

        self._tell("Encrypt in place what is stored in plaintext or dev format")
        self._run(services, self._plan(services, Verb.ENCRYPT, Selection(unprotected=True), new_key))

        self._tell("Open every token")
        self._verify(new_key, damaged)

        self._tell("Fresh proof that nothing is left, twice")
        for _ in range(2):
            proof = self._must_be_empty(services, old_key)
        print_status(services.status.status_by(proof))

        self._tell("Disable the old key")
        self._must_be_empty(services, old_key)
        change_key(services, KeyChange(ChangeKind.DISABLE, old_key), losing=len(damaged))
        click.echo(f"{old_key} is Disabled.")

        self._tell("An old envelope from the backup, tried against the disabled key")
        self._backup_is_useless(services, old_key)
        broken = services.journal.verify()
        _must(broken is None, broken or "")
        click.echo(f"Journal: {len(services.journal.entries())} entries, the chain is whole.")
        # KMS opens none of the damaged ones any more, so that they count under the key that it names.
        last = services.status.prove()
        _must(last.complete, f"The proof is not whole: {'; '.join(last.gaps)}")
        scope = last.scope_under(old_key)
        came = [t.ref for page in services.store.pages(scope) for t in page if t.ref not in damaged]
        _must(not came, f"{counted(len(came), 'token')} came under the compromised key meanwhile.")
        click.echo()

    def _tell(self, title: str) -> None:
        self._step += 1
        click.echo()
        click.echo(f"── {self._step}. {title}")

    def _trail(self, services: Container, key: str) -> None:
        """The trail's files are fetched from their bucket, and an intruder shows in them."""
        self._sandbox.control.deliver()  # CloudTrail delivers every few minutes
        since = datetime.now(UTC) - timedelta(days=7)
        report = services.trail.puller.pull_events("s3", since=since)
        _must(report.coverage.complete, f"Not fetched: {'; '.join(report.coverage.reasons)}")
        click.echo(f"{counted(report.new, 'event')} from the trail's bucket, {report.kms:,} of KMS.")
        use = services.services.event_use.key_use(key, since=since)
        click.echo(f"{counted(use.events, 'call')} under {short_key(key)}, {use.denied:,} denied:")
        click.echo()
        print_table(
            ("principal", "calls", "denied", "first", "last"),
            [
                (
                    name_of(row.texts[0]),
                    row.events,
                    row.denied,
                    *(f"{at:%Y-%m-%d %H:%M}" for at in (row.first, row.last)),
                )
                for row in use.principals.rows
            ],
        )
        click.echo()
        found = services.services.trail_rules.examine_events(since).findings
        for finding in found:
            print_marked(finding.severity, finding.title)
        _must(any(f.subject.endswith(INTRUDER) for f in found), "The rules did not find the intruder.")

    def _create_key(self, services: Container) -> str:
        change = KeyChange(
            ChangeKind.CREATE,
            alias=NEW_ALIAS,
            description="Connection tokens, after the compromise",
            period_days=DEFAULT_PERIOD_DAYS,
            principals={role: ROLES[role] for role in (Role.PLATFORM, Role.RESPONDER)},
        )
        new_key = change_key(services, change).key_arn
        click.echo(f"{NEW_ALIAS}  {new_key}  Enabled, rotation every {DEFAULT_PERIOD_DAYS} d")
        click.echo(f"The platform writes under it from now on: TOKEN_ENCRYPTION_KEY_ID={new_key}")
        return new_key

    def _plan(self, services: Container, verb: Verb, selection: Selection, target: str) -> Plan:
        plan = services.services.work.plan_reencryption(verb, selection, target)
        print_plan(plan)
        _must(plan.coverage.complete, f"The plan is not whole: {'; '.join(plan.coverage.reasons)}")
        return plan

    def _run(self, services: Container, plan: Plan) -> RunResult:
        with meter(plan.verb.words) as shown:
            result = services.services.work.run_plan(plan, Consent.by_option(plan), progress=shown.update)
        print_result(result)
        _must(not result.stopped_by, result.stopped_by)
        _must(not result.remaining, f"{result.remaining:,} tokens were not reached.")
        return result

    def _verify(self, new_key: str, damaged: Mapping[TokenRef, bytes]) -> None:
        """Every token opens, but for the corrupt ones, which stand as they stood."""
        settings = load({"write_key": new_key, "trusted_keys": (self._sandbox.world.old_key.arn,)}).settings
        # The old key is no longer trusted: what opens now, opens without it.
        with closing(Container(settings)) as services:
            with meter("verify") as shown:
                results = services.services.work.verify_tokens(
                    Selection(everything=True), progress=shown.update
                )
            failed = [v for v in results if not v.opened]
            click.echo(f"{len(results) - len(failed):,} of {len(results):,} tokens open without the old key.")
            self._must_be_the_damaged(failed, damaged)
            untouched = self._digests(services, damaged)
            _must(untouched == damaged, "A corrupt token was changed.")

    def _must_be_the_damaged(self, failed: list[Verification], damaged: Mapping[TokenRef, bytes]) -> None:
        for verification in failed:
            click.echo(f"  corrupt, left untouched: {verification.ref}: {verification.reason}")
        surprising = [v for v in failed if v.ref not in damaged]
        if surprising:
            raise DrillFailedError(f"{surprising[0].ref} does not open: {surprising[0].reason}")
        _must(len(failed) == len(damaged), f"{len(damaged)} tokens are corrupt, {len(failed)} do not open.")

    def _must_be_empty(self, services: Container, old_key: str) -> FreshProof:
        """Nothing is under the key by a fresh proof; damaged tokens open for nobody."""
        proof = services.status.prove(about=old_key)
        click.echo(f"{proof}.")
        _must(proof.complete, f"The proof is not whole: {'; '.join(proof.gaps)}")
        left = proof.tokens_under(old_key) + proof.doubtful
        _must(left == 0, f"{left:,} tokens are still under the compromised key.")
        return proof

    def _backup_is_useless(self, services: Container, old_key: str) -> None:
        with connected(services.engine) as connection:
            backup = connection.execute(
                select(envelope_backup)
                .where(envelope_backup.c.key_arn == old_key, envelope_backup.c.envelope.is_not(None))
                .limit(1)
            ).first()
        if backup is None:
            raise DrillFailedError("There is no backup of an envelope under the old key.")
        reference = f"{backup.token_column}:{backup.row_id}"
        try:
            TokenCipher(services.keyring).decrypt(backup.envelope, old_key)
        except KeyDisabledError as error:
            click.echo(f"{reference}, envelope under {short_key(old_key)}: {error.message}")
        except KmsError as error:
            raise DrillFailedError(f"The old envelope failed otherwise: {error.message}") from error
        else:
            raise DrillFailedError(f"The old envelope of {reference} still opens.")

    def _digests(self, services: Container, refs: Mapping[TokenRef, object]) -> dict[TokenRef, bytes]:
        return {token.ref: token.digest for token in services.store.read_many(refs)}


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DrillFailedError(otherwise)
