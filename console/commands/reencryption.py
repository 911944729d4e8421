"""keydeck rewrap, reencrypt, encrypt: a plan is shown, confirmed and run, and its result printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.questions import consent_to
from console.commands.session import services_of, together, trust_option
from console.completion.offers import key_names, token_references
from console.container import Container
from console.host.interrupts import cancelled_by_interrupt
from console.host.job_progress import work_on
from console.host.runners import MOST_PROCESSES, environment_of
from console.printed.job_words import code_of, print_takes, say_end, takes_of
from console.printed.output import meter, print_json, print_line, say
from console.printed.plan_words import print_nothing_to_do, print_plan, print_result
from crypto_core.guard.consent import Consent, Subject
from crypto_core.reencryption.jobs.model import FEW, JobOptions, JobPlan
from crypto_core.reencryption.jobs.replica_watch import MAX_LAG_SECONDS
from crypto_core.reencryption.plan import Plan, Selection, Verb
from crypto_core.reencryption.scale.forecast import SUPPOSABLE
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import RefusedError, SettingsError
from crypto_core.values.references import RowRef, TokenRef, parse_reference
from screens.plan_words import forecast_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingOptions:
    target: str | None
    dry_run: bool
    yes: bool
    job: bool
    processes: int | None
    rate: float | None
    """The limit in KMS calls a second, 0 for auto; None where the option was not given."""
    max_lag: float | None
    verify: str | None
    accepted: tuple[str, ...]
    trust: tuple[str, ...]
    as_json: bool
    forecast: bool = False
    supposed: tuple[str, ...] = ()
    allow_downgrade: bool = False

    def __post_init__(self) -> None:
        if self.supposed and not self.forecast:
            raise click.UsageError("--suppose goes with --plan.")

    @property
    def as_job(self) -> bool:
        asked = self.processes or self.verify or self.accepted
        limits = self.rate is not None or self.max_lag is not None
        return self.job or self.forecast or limits or bool(asked)

    @property
    def supposed_numbers(self) -> dict[str, float]:
        """What a forecast supposes, by name. Raises UsageError."""
        numbers = {}
        for given in self.supposed:
            name, _, number = given.partition("=")
            try:
                numbers[name] = float(number.replace(",", ""))
            except ValueError as error:
                raise click.UsageError(f"--suppose takes NAME=NUMBER, not {clean(given, 60)!r}.") from error
        return numbers

    @property
    def job_options(self) -> JobOptions:
        lag = MAX_LAG_SECONDS if self.max_lag is None else self.max_lag
        return JobOptions(self.rate or 0.0, self.verify == "kms", self.allow_downgrade, self.accepted, lag)


class Seconds(click.ParamType[float]):
    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if value == "off":
            return 0.0
        return float(click.FloatRange(min=0, max=86_400).convert(value, param, ctx))


def writing_consent(subject: Subject, plan: Plan, *, yes: bool) -> Consent:
    """Ask before tokens are written anew: `subject` is the plan or its job. Raises Abort, UsageError."""
    question = f"{plan.verb.words.capitalize()} {plan.selection}?"
    return consent_to(subject, question, yes=yes, about="This changes tokens.", typed="the number of tokens")


class RateType(click.FloatRange):
    """KMS calls a second: a number above 0, or "auto", which is 0.0."""

    name = "rate"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return 0.0 if value == "auto" else float(super().convert(value, param, ctx))


_how = together(
    click.option(
        "--to",
        "target",
        shell_complete=key_names,
        metavar="KEY",
        help="The KMS key to write under [TOKEN_ENCRYPTION_KEY_ID].",
    ),
    click.option("--job", is_flag=True, help=f"Use a job even for {FEW} tokens or fewer."),
    click.option(
        "--processes",
        type=click.IntRange(1, MOST_PROCESSES),
        metavar="N",
        help="Use a job with this many processes on this host [as many as the rate and the cores take].",
    ),
    click.option(
        "--rate",
        type=RateType(),
        metavar="auto|N",
        help="Use a job with at most N KMS calls a second; auto: what production leaves of the quota [auto].",
    ),
    click.option(
        "--max-lag",
        type=Seconds(),
        metavar="SECONDS",
        help=f"Use a job that waits while a replica is further behind; off for never [{MAX_LAG_SECONDS:g}].",
    ),
    click.option(
        "--verify",
        type=click.Choice(["local", "kms"]),
        help="A job. local: each new envelope is opened here before it is written; kms: by KMS too.",
    ),
    click.option(
        "--except",
        "accepted",
        multiple=True,
        metavar="PRINCIPAL",
        help="Who may lose access by a job: an ARN or account; * and ? as in IAM.",
    ),
    click.option(
        "--plan",
        "forecast",
        is_flag=True,
        help="A job. Show what it takes of processes, hosts, KMS and PostgreSQL; change nothing.",
    ),
    click.option(
        "--suppose",
        "supposed",
        multiple=True,
        metavar="NAME=N",
        help=f"With --plan, what if: {', '.join(SUPPOSABLE)}.",
    ),
    trust_option,
    json_option,
)
_references = click.argument("references", nargs=-1, shell_complete=token_references, metavar="[REF]...")
_filter = click.option(
    "--filter", "expression", metavar="EXPR", help="Every token that the filter lets through."
)
_envelopes = together(
    _references,
    click.option(
        "--from", "source", shell_complete=key_names, metavar="KEY", help="Every token under this KMS key."
    ),
    click.option("--all", "everything", is_flag=True, help="Every envelope."),
    _filter,
)


@click.command(cls=OperationCommand, operation="rewrap")
@_envelopes
@_how
def rewrap(**given: Any) -> int:
    """Move tokens' data keys to another KMS key; the ciphertexts stay byte for byte.

    For moving to a new key in peace. After a compromise, re-encrypt instead.
    """
    return _write(Verb.REWRAP, *_read_envelopes(**given))


@click.command(cls=OperationCommand, operation="reencrypt")
@_envelopes
@click.option(
    "--allow-downgrade",
    is_flag=True,
    help="Write v2 envelopes as v1 where KEYDECK_WRITE_FORMAT is v1: they are no longer bound to their rows.",
)
@_how
def reencrypt(**given: Any) -> int:
    """Seal tokens anew: new data key, new nonce, new ciphertext. This is recovery from a key compromise.

    Can be interrupted and run again. Replaced envelopes are kept in keydeck.envelope_backup.
    """
    return _write(Verb.REENCRYPT, *_read_envelopes(**given))


@click.command(cls=OperationCommand, operation="encrypt")
@_references
@click.option(
    "--plaintext", "unprotected", is_flag=True, help="Every token stored in plaintext or dev format."
)
@_filter
@_how
def encrypt(*, references: tuple[str, ...], unprotected: bool, expression: str | None, **options: Any) -> int:
    """Encrypt tokens that are stored in plaintext or dev format, in place.

    No copy of the old value is kept.
    """
    if sum((bool(references), unprotected, expression is not None)) != 1:
        raise click.UsageError("Name references, or --plaintext, or --filter EXPR.")
    selection = Selection(_parsed(references), unprotected=unprotected, filter=expression)
    return _write(Verb.ENCRYPT, selection, WritingOptions(**options))


def _read_envelopes(
    *,
    references: tuple[str, ...],
    source: str | None,
    everything: bool,
    expression: str | None,
    **options: Any,
) -> tuple[Selection, WritingOptions]:
    if sum((bool(references), source is not None, everything, expression is not None)) != 1:
        raise click.UsageError("Name references, or --from KEY, or --all, or --filter EXPR.")
    return Selection(_parsed(references), source, everything, filter=expression), WritingOptions(**options)


def _parsed(references: tuple[str, ...]) -> tuple[TokenRef | RowRef, ...]:
    return tuple(parse_reference(reference) for reference in references)


def _write(verb: Verb, selection: Selection, asked: WritingOptions) -> int:
    with services_of(trust=asked.trust) as services:
        key = asked.target or services.settings.write_key
        if not key:
            raise SettingsError(
                "No key to encrypt under.", remedy="Name it with --to, or set TOKEN_ENCRYPTION_KEY_ID."
            )
        plan = _planned(services, verb, selection, key, asked)
        if isinstance(plan, JobPlan):
            return run_as_job(services, plan, asked)
        if asked.dry_run:
            if asked.as_json:
                print_json(plan.as_json() | {"job": None})
            else:
                print_plan(plan)
            return 0 if plan.whole else 1
        if not plan.tokens:
            return print_nothing_to_do(plan, as_json=asked.as_json)
        print_plan(plan, err=True)
        return _run(services, plan, writing_consent(plan, plan, yes=asked.yes), as_json=asked.as_json)


def _planned(
    services: Container, verb: Verb, selection: Selection, key: str, asked: WritingOptions
) -> Plan | JobPlan:
    """Return the one plan that is made and journaled: of a job where there is to be one."""
    if asked.as_job:
        return services.tokens.jobs.plan_job(verb, selection, key, asked.job_options)
    if selection.references:
        return services.services.work.plan_reencryption(
            verb, selection, key, allow_downgrade=asked.allow_downgrade
        )
    return services.services.jobs.plan_fitting(verb, selection, key, asked.job_options, few=FEW)


def _run(services: Container, plan: Plan, consent: Consent, *, as_json: bool) -> int:
    with cancelled_by_interrupt() as cancelled, meter(plan.verb.words) as shown:
        result = services.services.work.run_plan(plan, consent, progress=shown.update, cancelled=cancelled)
    if as_json:
        document = result.as_json() | {"job": None}
        document["coverage"] = plan.coverage.as_json()
        document["refused"] = [one.as_json() for one in plan.refused]
        print_json(document)
    else:
        print_result(result)
    if result.interrupted:
        return 130
    if result.stopped_by:
        return 3
    return 0 if result.complete and plan.whole else 1


def run_as_job(services: Container, job_plan: JobPlan, asked: WritingOptions) -> int:
    """Start a job as planned and work on it until it ends or stops; returns the exit code."""
    work = services.tokens.jobs
    plan, processes = job_plan.plan, asked.processes or None
    if asked.dry_run or asked.forecast:
        from crypto_core.reencryption.scale.forecast import Forecaster

        supposed = asked.supposed_numbers
        forecast = Forecaster(services.catalogue).of_job(job_plan, supposed) if asked.forecast else None
        if asked.as_json:
            more = {} if forecast is None else {"forecast": forecast.as_json()}
            print_json(plan.as_json() | takes_of(job_plan, processes) | {"job": None} | more)
        else:
            print_plan(plan, kms_calls=job_plan.kms_calls)
            print_takes(job_plan, processes=processes)
            for line in forecast_lines(forecast) if forecast is not None else ():
                print_line(line)
        return 0 if plan.whole and not job_plan.losses else 1
    if not plan.tokens:
        return print_nothing_to_do(plan, as_json=asked.as_json)
    print_plan(plan, kms_calls=job_plan.kms_calls, err=True)
    print_takes(job_plan, processes=processes, err=True)
    if asked.yes and job_plan.losses:
        raise RefusedError(
            f"{counted(len(job_plan.losses), 'principal')} would lose access: {job_plan.losses[0]}.",
            remedy="Allow them first, or accept each with --except PRINCIPAL; --yes alone is not enough.",
        )
    job = work.start_job(job_plan, writing_consent(job_plan, plan, yes=asked.yes))
    say(f"Job {job} has started. From another terminal or host: keydeck jobs show | pause | join {job}")
    with cancelled_by_interrupt() as cancelled:
        environment = environment_of(services.settings, asked.trust)
        view = work_on(work, job, cancelled, processes=processes, environment=environment)
    say_end(view, as_json=asked.as_json, plan=plan)
    code = code_of(view, interrupted=cancelled.is_set())
    return code if code or plan.whole else 1
