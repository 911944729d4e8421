"""What commands that write tokens anew are given, and what they ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from console.commands.asking import consent_to
from crypto_core.guard.consent import Consent, Subject
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.jobs.replica_watch import MAX_LAG_SECONDS
from crypto_core.reencryption.plan import Plan
from crypto_core.text.cleaning import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingOptions:
    """The options that rewrap, reencrypt and encrypt have in common."""

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
        """True if it is to be a job however few tokens there are."""
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
    """A number of seconds; off is 0."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Raises BadParameter."""
        if value == "off":
            return 0.0
        return float(click.FloatRange(min=0, max=86_400).convert(value, param, ctx))


def writing_consent(subject: Subject, plan: Plan, *, yes: bool) -> Consent:
    """Ask before tokens are written anew: `subject` is the plan or its job. Raises Abort, UsageError."""
    question = f"{plan.verb.words.capitalize()} {plan.selection}?"
    return consent_to(subject, question, yes=yes, about="This changes tokens.", typed="the number of tokens")
