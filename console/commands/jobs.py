"""keydeck jobs: many tokens written anew by any number of processes: look, work on, pause, end."""

from __future__ import annotations

import click

from console.commands.operation_command import OperationCommand
from console.commands.output_options import json_option, rows_option
from console.commands.questions import consent_to, type_in, yes_option
from console.commands.session import limit_option, services_of, trust_option
from console.completion.offers import job_numbers
from console.garbage import settle
from console.host.children import when_parent_ends
from console.host.interrupts import IN_HAND, cancelled_by_interrupt
from console.host.job_progress import follow, work_on
from console.host.runners import MOST_PROCESSES, environment_of
from console.printed.forms import Form
from console.printed.job_words import (
    JobDocument,
    ShownJob,
    UnwrittenOfKind,
    code_of,
    describe,
    listing_of,
    print_unwritten,
    say_end,
    unwritten_of,
)
from console.printed.lists import print_listing
from console.printed.output import print_json, print_line, say
from crypto_core.values.counts import counted
from crypto_core.values.errors import ReadOnlyError

_job = click.argument("job", type=click.IntRange(min=1), shell_complete=job_numbers, metavar="JOB")


@click.group()
def jobs() -> None:
    """Jobs: many tokens written anew, by any number of processes and hosts.

    A job begins with `keydeck reencrypt`, `rewrap` or `encrypt`. Where one stands is in the database: it can
    be watched, paused and joined from any host.
    """


@jobs.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, metavar="N")
@rows_option
def list_(*, limit: int, form: Form) -> int:
    """List jobs, the newest first."""
    with services_of() as services:
        found = services.tokens.jobs.jobs(limit)
    if found or form is not Form.TABLE:
        print_listing(listing_of(found), form)
    else:
        say("No jobs. Start one with: keydeck reencrypt --from OLD --to NEW")
    return 0


@jobs.command()
@_job
@click.option("--errors", is_flag=True, help="Name the tokens that can't be written, and why.")
@limit_option(200, "With --errors: at most this many of each kind.")
@json_option
def show(*, job: int, errors: bool, limit: int, as_json: bool) -> int:
    """Show where a job stands. Exit 0 once it is done with every token written, else 1."""
    with services_of() as services:
        work = services.tokens.jobs
        view = work.show_job(job)
        unwritten = unwritten_of(work, view, limit) if errors else {}
    if as_json:
        print_json(ShownJob(JobDocument(view), _listed(unwritten) if errors else None).as_json())
    else:
        for line in describe(view):
            print_line(line)
        print_unwritten(view, unwritten)
    return 0 if view.complete else 1


def _listed(unwritten: dict[str, list[tuple[str, str]]]) -> tuple[UnwrittenOfKind, ...]:
    return tuple(UnwrittenOfKind(kind, *token) for kind, tokens in unwritten.items() for token in tokens)


@jobs.command()
@_job
@json_option
def watch(*, job: int, as_json: bool) -> int:
    """Tell how far a job is until it ends or stops. Works on nothing itself."""
    with (
        services_of() as services,
        cancelled_by_interrupt("Stopped watching; the job continues.") as cancelled,
    ):
        view = follow(services.tokens.jobs, job, cancelled)
    say_end(view, as_json=as_json)
    return code_of(view, interrupted=cancelled.is_set())


@jobs.command(cls=OperationCommand, operation="jobs join")
@_job
@click.option(
    "--processes",
    type=click.IntRange(1, MOST_PROCESSES),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes on this host.",
)
@click.option("--runner", is_flag=True, hidden=True)
@trust_option
@json_option
def join(*, job: int, processes: int, runner: bool, trust: tuple[str, ...], as_json: bool) -> int:
    """Work on a job until it ends or stops, from this host too. Ctrl-C ends this process's part alone."""
    with services_of(trust=trust) as services, cancelled_by_interrupt(IN_HAND) as cancelled:
        work = services.tokens.jobs
        if runner:
            when_parent_ends(cancelled.set)
            settle()
            return code_of(work.join_job(job, cancelled=cancelled), interrupted=cancelled.is_set())
        environment = environment_of(services.settings, trust)
        view = work_on(work, job, cancelled, processes=processes, environment=environment)
    say_end(view, as_json=as_json)
    return code_of(view, interrupted=cancelled.is_set())


@jobs.command(cls=OperationCommand, operation="jobs pause")
@_job
@json_option
def pause(*, job: int, as_json: bool) -> int:
    """Pause a job: within a second no process asks KMS any more. What is sealed is written."""
    with services_of() as services:
        view = services.tokens.jobs.pause_job(job)
    say_end(view, as_json=as_json)
    return 0


@jobs.command(cls=OperationCommand, operation="jobs resume")
@_job
@json_option
def resume(*, job: int, as_json: bool) -> int:
    """Resume a paused or failed job. Processes that still wait for it go on by themselves."""
    with services_of() as services:
        view = services.tokens.jobs.resume_job(job)
    say_end(view, as_json=as_json)
    if not any(not runner.ended for runner in view.runners):
        say(f"No process is working on it. Continue it with: keydeck jobs join {job}")
    return 0


@jobs.command(cls=OperationCommand, operation="jobs cancel")
@_job
@yes_option
@json_option
def cancel(*, job: int, yes: bool, as_json: bool) -> int:
    """End a job for good. What is written stays written."""
    with services_of() as services:
        work = services.tokens.jobs
        view = work.show_job(job)
        if services.settings.read_only:
            raise ReadOnlyError(f"Job {job} is not cancelled.")
        if not yes:
            for line in describe(view):
                print_line(line, err=True)
            about = "This ends the job for good."
            type_in(str(job), f"Type the job's number ({job}) to end it", about=about)
        view = work.cancel_job(job)
    say_end(view, as_json=as_json)
    return 0


@jobs.command(cls=OperationCommand, operation="jobs restore")
@_job
@trust_option
@json_option
def restore(*, job: int, dry_run: bool, yes: bool, trust: tuple[str, ...], as_json: bool) -> int:
    """Restore the envelopes that a job has replaced, unless a newer value is there. It is a job itself.

    Exit code 1 unless each of them was restored.
    """
    with services_of(trust=trust) as services:
        work, undoing = services.tokens.jobs, services.tokens.undoing
        plan = undoing.plan_restore(job)
        about = "This moves tokens back to the key that they were moved from."
        if dry_run and as_json:
            print_json({"dry_run": True, "restores": job, "tokens": plan.tokens, "keys": list(plan.key_arns)})
        else:
            keys = ", ".join(plan.key_arns)
            kept = counted(plan.tokens, "envelope")
            say(f"{kept} that job {job} replaced, under {keys}: restored unless changed since. {about}")
            for warning in plan.warnings:
                say(warning)
        if dry_run:
            return 0
        number = undoing.start_restore(plan, consent_to(plan, yes=yes, about=about))
        say(f"Job {number} has begun.")
        with cancelled_by_interrupt(IN_HAND) as cancelled:
            view = work_on(work, number, cancelled, environment={})
    say_end(view, as_json=as_json)
    code = code_of(view, interrupted=cancelled.is_set())
    if not code and view.done < plan.tokens:
        say(
            f"{view.done:,} of {counted(plan.tokens, 'token')} restored. The others no longer hold what job "
            f"{job} wrote: they were rewritten, changed by the database, or deleted. They stay as they are."
        )
        return 1
    return code


@jobs.command(cls=OperationCommand, operation="jobs retry")
@_job
def retry(*, job: int) -> int:
    """Let the tokens be tried anew that could not be written. A job that was done runs again."""
    with services_of() as services:
        tried = services.tokens.jobs.retry_job(job)
    if not tried:
        say(f"Job {job} has no token that could not be written.")
        return 0
    words = counted(tried, "token")
    say(f"To be retried: {words}. Continue it with: keydeck jobs join {job}")
    return 0
