"""Many tokens written anew as a job: agreed to as planned, made, and worked on to its end."""

from __future__ import annotations

from console.commands.writing_options import WritingOptions, writing_consent
from console.container import Container
from console.host.interrupts import cancelled_by_interrupt
from console.host.job_progress import work_on
from console.host.runners import environment_of
from console.printed.job_words import code_of, print_takes, say_end, takes_of
from console.printed.plan_words import print_nothing_to_do, print_plan
from console.printed.printing import print_json, print_line, say
from crypto_core.errors import RefusedError
from crypto_core.reencryption.jobs.model import JobPlan
from crypto_core.text.counting import counted
from screens.forecast_words import forecast_lines
from screens.jobs.work import job_work


def run_as_job(services: Container, job_plan: JobPlan, asked: WritingOptions) -> int:
    """Start a job as planned and work on it until it ends or stops; returns the exit code."""
    work = job_work(services)
    plan, processes = job_plan.plan, asked.processes or None
    if asked.dry_run or asked.forecast:
        supposed = asked.supposed_numbers
        forecast = services.forecaster.of_job(job_plan, supposed) if asked.forecast else None
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
    refused = [{"reference": u.reference, "reason": u.reason} for u in plan.refused]
    say_end(view, as_json=asked.as_json, more={"coverage": plan.coverage.as_json(), "refused": refused})
    code = code_of(view, interrupted=cancelled.is_set())
    return code if code or plan.whole else 1
