"""keydeck incident next, plan, answer, check, skip, …: working on the steps of an incident."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from threading import Event
from typing import TYPE_CHECKING

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option
from console.commands.questions import consent_to, read_stdin
from console.commands.session import services_of, trust_option
from console.completion.offers import incident_numbers
from console.host.interrupts import IN_HAND, cancelled_by_interrupt
from console.host.job_progress import work_on
from console.host.runners import environment_of
from console.lazy_services import if_made
from console.printed import incident_words
from console.printed.output import meter, print_json, say
from crypto_core.guard.consent import Consent
from crypto_core.incidents.model import PrintedCheck, StepState, StepView
from crypto_core.incidents.steps.step_contracts import ActionPlan, InputField
from crypto_core.lists.own_file import read_secret_file
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.replacing_token.validation import stripped
from crypto_core.values.errors import InvalidTokenError, RefusedError, SettingsError
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from console.container import Container
    from crypto_core.incidents.service import IncidentService

JOB_VALUES = ("job", "encrypt_job")
"""Under which names an incident knows its jobs."""
MOST_SECRET_BYTES = 16_384
LEAVE_SECONDS = 10.0
"""How long processes that an action started have to write what they hold."""

number = click.argument(
    "incident", type=click.IntRange(min=1), shell_complete=incident_numbers, metavar="INCIDENT"
)
_step = click.argument("step", metavar="STEP")
_reason = click.option("--reason", required=True, metavar="TEXT", help="Kept in the timeline and the report.")
_set = click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input of the step's action. Never a token: use --secret, or enter it when prompted.",
)
_secret = click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME=FILE",
    help="A secret that the action asks for, such as a new token, from a file that only you may read; - is "
    "the standard input, which takes a pipe.",
)


def step_in_hand(work: IncidentService, incident: int, step: str | None) -> StepView:
    """Return the step that is named, or the current one. Raises RefusedError where there is none."""
    view = work.show(incident)
    if step is None:
        if view.current is None:
            waiting = ", ".join(s.step.id for s in view.left_undecided)
            ended = f", but {waiting}: left undecided" if waiting else ""
            raise RefusedError(
                f"Every step of {view.incident.name} has ended{ended}.",
                remedy=f"Close it: keydeck incident close {incident} --outcome TEXT.",
            )
        return view.current
    try:
        return view.step(step)
    except KeyError:
        names = ", ".join(s.step.id for s in view.steps)
        raise RefusedError(
            f"{view.incident.name} has no step {step!r}.", remedy=f"Its steps: {names}."
        ) from None


def inputs_of(given: tuple[str, ...], secrets: tuple[str, ...]) -> dict[str, str | Secret]:
    """Return what --set and --secret say. Raises BadParameter, SettingsError."""
    inputs: dict[str, str | Secret] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{name!r} has no value: write NAME=VALUE.", param_hint="--set")
        inputs[name] = value
    for text in secrets:
        name, equals, path = text.partition("=")
        if not equals:
            raise click.BadParameter("write NAME=FILE.", param_hint="--secret")
        inputs[name] = secret_from(path)
    return inputs


def secret_from(path: str, *, most: int = MOST_SECRET_BYTES, lines: bool = False) -> Secret:
    """Return what a file that only this user may read holds, stripped unless its `lines` are to be counted.

    "-" is the standard input. Raises SettingsError for what can't be read or used.
    """
    try:
        secret = read_stdin(most) if path == "-" else read_secret_file(path, most=most)
        return secret if lines else stripped(secret)
    except (InvalidTokenError, RefusedError) as error:
        raise SettingsError(error.message, remedy=error.remedy) from None


def asked(fields: tuple[InputField, ...], inputs: Mapping[str, str | Secret]) -> dict[str, str | Secret]:
    """Return the inputs with what the operator is asked for besides. Raises UsageError without a terminal."""
    known = {field.name: field for field in fields}
    for name in inputs:
        if name not in known:
            offered = ", ".join(known) or "nothing"
            raise click.UsageError(f"The step's action has no input {name!r}; it has: {offered}.")
        if known[name].secret and not isinstance(inputs[name], Secret):
            raise click.UsageError(f"{name} is a secret: give it with --secret {name}=FILE, or - for stdin.")
    found = dict(inputs)
    for field in fields:
        if field.name in found:
            continue
        if field.required and field.undecided:
            found[field.name] = _ask(field)
        elif field.proposed:
            found[field.name] = field.proposed
    return found


def _ask(field: InputField) -> str | Secret:
    if not sys.stdin.isatty():
        option = f"--secret {field.name}=FILE" if field.secret else f"--set {field.name}=VALUE"
        offered = "; ".join(f"{value}: {word}" for value, word in field.choices)
        raise click.UsageError(f"{field.label}: give it with {option}." + (f" {offered}." if offered else ""))
    for value, word in field.choices:
        say(f"  {value}  {word}")
    if field.secret:
        return Secret.of(click.prompt(field.label, hide_input=True, err=True).strip())
    answer: str = click.prompt(field.label, err=True)
    return answer


def _consent(plan: ActionPlan, *, yes: bool, typed: str | None) -> Consent:
    """Ask for what the plan demands, unless it is `typed` already. Raises Abort, UsageError."""
    if typed is not None:
        return Consent.typed(plan, typed)
    otherwise = f", or --confirm {plan.confirmation or 'TEXT'}"
    return consent_to(plan, f"{plan.title}?", yes=yes, about=f"{plan.title}:", otherwise=otherwise)


def work_on_jobs(services: Container, incident: int, cancelled: Event, trust: tuple[str, ...]) -> None:
    """Work on the incident's jobs from here until they end: processes that a command started end with it."""
    jobs = services.services.jobs
    values = services.services.incidents.show(incident).incident.values
    environment = environment_of(services.settings, trust)
    try:
        for name in JOB_VALUES:
            job = values.get(name)
            if job and jobs.show_job(int(job)).state is JobState.RUNNING and not cancelled.is_set():
                work_on(jobs, int(job), cancelled, environment=environment)
    finally:
        started = if_made(services.tokens.processes)
        if started is not None:
            started.leave()
            started.wait(LEAVE_SECONDS)


@click.command("next", cls=OperationCommand, operation="incident run")
@number
@click.option("--step", metavar="STEP", help="A step other than the current one.")
@_set
@_secret
@click.option("--answer", metavar="CHOICE", help="The answer of a step that decides something.")
@click.option("--check-only", is_flag=True, help="Run no action: capture, look at the check, end the step.")
@click.option("--wait", is_flag=True, help="Repeat until the check passes.")
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="With --wait: seconds between two checks.",
)
@click.option("--confirm", "typed", metavar="TEXT", help="The text to type for confirmation.")
@trust_option
@json_option
def next_(
    *,
    incident: int,
    step: str | None,
    given: tuple[str, ...],
    secrets: tuple[str, ...],
    answer: str | None,
    dry_run: bool,
    check_only: bool,
    wait: bool,
    interval: float,
    yes: bool,
    typed: str | None,
    trust: tuple[str, ...],
    as_json: bool,
) -> int:
    """Do the current step: its action, what is to be captured, and the check that proves it.

    Exit 0 once the step has ended, 1 while its check does not pass.
    """
    inputs = inputs_of(given, secrets)
    with services_of(trust=trust) as services, cancelled_by_interrupt(IN_HAND) as cancelled:
        work = services.services.incidents
        view = step_in_hand(work, incident, step)
        name = view.step.id
        say(f"Step {view.number}: {view.step.title}")
        if view.step.choices:
            ended = work.answer(incident, name, _choice(view, answer))
            return _tell(ended, as_json=as_json)
        if view.step.action is not None and not check_only:
            asked_for = asked(work.fields(incident, name, inputs, cancelled=cancelled), inputs)
            plan = work.plan_action(incident, name, asked_for, cancelled=cancelled)
            incident_words.print_plan(plan)
            if dry_run:
                if as_json:
                    print_json(plan.as_json())
                return 0
            consent = _consent(plan, yes=yes, typed=typed)
            with meter(name) as shown:
                result = work.run_action(
                    incident, name, plan, consent, asked_for, progress=shown.show, cancelled=cancelled
                )
            incident_words.say_result(result)
            work_on_jobs(services, incident, cancelled, trust)
            if not result.complete and view.step.check is None:
                # Nothing else would tell that a part is left.
                return _tell(work.show(incident).step(name), as_json=as_json)
        elif dry_run:
            say("The step has no action: nothing would change.")
            return 0
        while True:
            ended = work.show(incident).step(name)
            if ended.state.ended:
                break
            try:
                ended = work.finish(incident, name, capturing=_say_capturing, cancelled=cancelled)
                break
            except RefusedError as error:
                ended = work.show(incident).step(name)
                if not wait or cancelled.wait(interval):
                    say(str(error))
                    break
    return _tell(ended, as_json=as_json)


def _say_capturing(done: int, total: int, kind: str) -> None:
    if kind:
        say(f"Capturing evidence: {kind} ({done + 1} of {total})")


def _choice(view: StepView, answer: str | None) -> str:
    if answer is not None:
        return answer
    offered = ", ".join(view.step.choices)
    if not sys.stdin.isatty():
        raise click.UsageError(f"{view.step.title} Answer it with --answer: {offered}.")
    chosen: str = click.prompt(
        view.step.title, default=view.step.undecided or None, type=click.Choice(view.step.choices), err=True
    )
    return chosen


def _tell(view: StepView, *, as_json: bool) -> int:
    if as_json:
        print_json(view.as_json())
    else:
        about = f": {view.answer}" if view.answer else ""
        click.echo(f"Step {view.number} {view.state.value}{about}")
        if view.check is not None:
            incident_words.print_check(view.check)
    return 0 if view.state.ended else 1


@click.command()
@number
@click.argument("step", metavar="[STEP]", required=False)
@json_option
def check(*, incident: int, step: str | None, as_json: bool) -> int:
    """Look at a step's check; ends nothing. Exit 0 if it passes, else 1."""
    with services_of() as services, cancelled_by_interrupt() as cancelled:
        work = services.services.incidents
        name = step_in_hand(work, incident, step).step.id
        result = work.look_at_check(incident, name, cancelled=cancelled)
    if as_json:
        print_json({"step": name, "check": PrintedCheck(result).as_json()})
    else:
        incident_words.print_check(result)
    return 0 if result.passed else 1


@click.command(cls=OperationCommand, operation="incident skip")
@number
@_step
@_reason
@json_option
def skip(*, incident: int, step: str, reason: str, as_json: bool) -> int:
    """End a step without doing it."""
    with services_of() as services:
        view = services.services.incidents.skip(incident, step, reason)
    _tell(view, as_json=as_json)
    return 0


@click.command(cls=OperationCommand, operation="incident reopen")
@number
@_step
@_reason
@json_option
def reopen(*, incident: int, step: str, reason: str, as_json: bool) -> int:
    """Take a step up again that had ended."""
    with services_of() as services:
        view = services.services.incidents.reopen(incident, step, reason)
    _tell(view, as_json=as_json)
    return 0 if view.state is not StepState.DONE else 1


@click.command("accept-lost", cls=OperationCommand, operation="incident accept-lost")
@number
@_reason
@click.option("--confirm", "typed", metavar="NUMBER", help="How many tokens are accepted as lost, typed.")
@json_option
def accept_lost(
    *, incident: int, reason: str, dry_run: bool, yes: bool, typed: str | None, as_json: bool
) -> int:
    """Accept as unrecoverable what is left under the key and opens for nobody.

    KMS is asked about each token now. Each is named, and their number has to be typed: --yes is not enough.
    What opens, and what KMS gives no clear answer about, is not covered, and neither is any other value that
    is stored there later.
    """
    with services_of() as services, cancelled_by_interrupt() as cancelled:
        work = services.services.incidents
        plan = work.plan_accept_lost(incident, reason, cancelled=cancelled)
        incident_words.print_plan(plan)
        if dry_run:
            if as_json:
                print_json(plan.as_json())
            return 0
        consent = _consent(plan, yes=yes, typed=typed)
        result = work.accept_lost(incident, plan, consent, cancelled=cancelled)
        incident_words.say_result(result)
        if as_json:
            print_json(incident_words.accepted_document(work.accepted_losses(incident)))
    return 0
