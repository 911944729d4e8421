"""keydeck rewrap, reencrypt, encrypt: a plan is shown, confirmed, run, and its result told."""

from __future__ import annotations

import sys

import click

from console.commands.session import json_option, trust_option, wired
from console.interrupts import cancelled_by_interrupt
from console.printing import meter, print_json, say
from console.wiring import Wired
from crypto_core.consent import Consent, Danger, agrees
from crypto_core.counting import counted
from crypto_core.errors import SettingsError
from crypto_core.reencryption.plan import Plan, RunResult, Selection, Verb
from crypto_core.references import parse_reference

_to = click.option(
    "--to", "target", metavar="KEY", help="The KMS key to write under [TOKEN_ENCRYPTION_KEY_ID]."
)
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_downgrade = click.option(
    "--allow-downgrade",
    is_flag=True,
    help="Write v2 envelopes as v1 where KEYDECK_WRITE_FORMAT is v1: they are no longer bound to their rows.",
)
_references = click.argument("references", nargs=-1, metavar="[REF]...")


@click.command()
@click.argument("reference", metavar="REF")
@_to
@_dry_run
@_yes
@trust_option
@json_option
@click.pass_context
def rewrap(
    ctx: click.Context,
    *,
    reference: str,
    target: str | None,
    dry_run: bool,
    yes: bool,
    trust: tuple[str, ...],
    as_json: bool,
) -> int:
    """Move a token's data key to another KMS key; the ciphertext stays byte for byte.

    For moving to a new key in peace. After a compromise, re-encrypt instead.
    """
    selection = Selection((parse_reference(reference),))
    return _write(ctx, Verb.REWRAP, selection, target, trust, dry_run=dry_run, yes=yes, as_json=as_json)


@click.command()
@_references
@click.option("--from", "source", metavar="KEY", help="Every token under this KMS key.")
@click.option("--all", "everything", is_flag=True, help="Every envelope.")
@_to
@_downgrade
@_dry_run
@_yes
@trust_option
@json_option
@click.pass_context
def reencrypt(
    ctx: click.Context,
    *,
    references: tuple[str, ...],
    source: str | None,
    everything: bool,
    target: str | None,
    allow_downgrade: bool,
    dry_run: bool,
    yes: bool,
    trust: tuple[str, ...],
    as_json: bool,
) -> int:
    """Seal tokens anew: new data key, new nonce, new ciphertext. This is recovery from a key compromise.

    Can be interrupted and run again. Replaced envelopes are kept in keydeck.envelope_backup.
    """
    if sum((bool(references), source is not None, everything)) != 1:
        raise click.UsageError("Name references, or --from KEY, or --all.")
    selection = Selection(tuple(parse_reference(r) for r in references), source, everything)
    return _write(
        ctx,
        Verb.REENCRYPT,
        selection,
        target,
        trust,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
        allow_downgrade=allow_downgrade,
    )


@click.command()
@_references
@click.option(
    "--plaintext", "unprotected", is_flag=True, help="Every token stored in plaintext or dev format."
)
@_to
@_dry_run
@_yes
@trust_option
@json_option
@click.pass_context
def encrypt(
    ctx: click.Context,
    *,
    references: tuple[str, ...],
    unprotected: bool,
    target: str | None,
    dry_run: bool,
    yes: bool,
    trust: tuple[str, ...],
    as_json: bool,
) -> int:
    """Encrypt tokens that are stored in plaintext or dev format, in place.

    No copy of the old value is kept.
    """
    if bool(references) == unprotected:
        raise click.UsageError("Name references, or --plaintext.")
    selection = Selection(tuple(parse_reference(r) for r in references), unprotected=unprotected)
    return _write(ctx, Verb.ENCRYPT, selection, target, trust, dry_run=dry_run, yes=yes, as_json=as_json)


def _write(
    ctx: click.Context,
    verb: Verb,
    selection: Selection,
    target: str | None,
    trust: tuple[str, ...],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    allow_downgrade: bool = False,
) -> int:
    with wired(ctx, trust=trust) as services:
        key = target or services.settings.write_key
        if not key:
            raise SettingsError(
                "No key to write under.", remedy="Name it with --to, or set TOKEN_ENCRYPTION_KEY_ID."
            )
        plan = services.services.work.plan(verb, selection, key, allow_downgrade=allow_downgrade)
        if dry_run:
            if as_json:
                print_json(plan.as_json())
            else:
                print_plan(plan)
            return 0 if plan.whole else 1
        if not plan.tokens:
            return _nothing_to_do(plan, as_json=as_json)
        print_plan(plan, err=True)
        return _run(services, plan, _consent(plan, yes=yes), as_json=as_json)


def _run(services: Wired, plan: Plan, consent: Consent, *, as_json: bool) -> int:
    with cancelled_by_interrupt() as cancelled, meter(plan.verb.words) as shown:
        result = services.services.work.run(plan, consent, progress=shown.update, cancelled=cancelled)
    if as_json:
        document = result.as_json()
        document["coverage"] = plan.coverage.as_json()
        document["refused"] = [{"reference": u.reference, "reason": u.reason} for u in plan.refused]
        print_json(document)
    else:
        print_result(result)
    if result.interrupted:
        return 130
    if result.stopped_by:
        return 3
    return 0 if result.complete and plan.whole else 1


def _nothing_to_do(plan: Plan, *, as_json: bool) -> int:
    if as_json:
        print_json(plan.as_json() | {"dry_run": False, "planned": 0, "done": 0, "remaining": 0})
    else:
        print_plan(plan)
    return 0 if plan.whole else 1


def print_plan(plan: Plan, *, err: bool = False) -> None:
    """Print what a run would do."""

    def line(text: str) -> None:
        click.echo(text, err=err)

    line(f"{plan.verb.words}: {counted(plan.tokens, 'token')} ({plan.selection})")
    line(f"to {plan.target_name}  {plan.target_key_arn}")
    for column, tokens in plan.by_column.items():
        line(f"  {column}  {tokens:,}")
    for conversion in plan.conversions:
        if conversion.changes:
            line(f"  {conversion.source} becomes {conversion.written}: {conversion.tokens:,}")
    line(f"KMS calls: {plan.kms_calls:,}")
    for unwritten in plan.refused:
        line(f"Left as it is: {unwritten.reference}: {unwritten.reason}.")
    for warning in plan.warnings:
        line(f"Note: {warning}")
    for reason in plan.coverage.reasons:
        line(f"Not covered: {reason}")


def print_result(result: RunResult) -> None:
    """Print what a run did."""
    rate = f"{result.done / result.seconds:,.0f} tokens/s" if result.seconds else ""
    click.echo(
        f"{result.verb.words}: {result.done:,} of {result.planned:,} tokens written in {result.seconds:.1f} s"
        f" ({rate}, {counted(result.kms_calls, 'KMS call')})"
    )
    if result.conflicts_retried:
        click.echo(f"changed meanwhile and tried again: {result.conflicts_retried:,}")
    if result.changed_meanwhile:
        click.echo(f"written or removed by somebody else meanwhile, left alone: {result.changed_meanwhile:,}")
    for unwritten in result.poisoned:
        click.echo(f"not written: {unwritten.reference}: {unwritten.reason}")
    if result.stopped_by:
        say(f"Stopped: {result.stopped_by}")
    if result.remaining:
        say(f"{counted(result.remaining, 'token')} left. Run the command again to go on.")


def _consent(plan: Plan, *, yes: bool) -> Consent:
    """Ask as the plan's danger demands; returns what the operator agreed to. Raises Abort."""
    if yes:
        return Consent.by_option(plan)
    if not sys.stdin.isatty():
        raise click.UsageError(
            "This changes tokens. Without a terminal it needs --yes; --dry-run only looks."
        )
    if plan.danger is not Danger.TYPED:
        click.confirm(
            f"{plan.verb.words.capitalize()} {plan.selection}?", default=False, abort=True, err=True
        )
        return Consent.pressed(plan)
    typed = click.prompt(
        f"Type the number of tokens ({plan.confirmation}) to go on", default="", show_default=False, err=True
    )
    if not agrees(typed, plan.confirmation):
        raise click.Abort
    return Consent.typed(plan, typed)
