"""What the commands that write tokens anew are asked, and what they ask before they begin."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click

from crypto_core.guard.consent import Consent, Danger, Subject, agrees
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingOptions:
    """The options that rewrap, reencrypt and encrypt have in common."""

    target: str | None
    dry_run: bool
    yes: bool
    job: bool
    processes: int | None
    rate: float | None
    verify: str | None
    accepted: tuple[str, ...]
    trust: tuple[str, ...]
    as_json: bool
    allow_downgrade: bool = False

    @property
    def as_job(self) -> bool:
        """True if it is to be a job however few tokens there are."""
        return self.job or bool(self.processes or self.rate or self.verify or self.accepted)

    @property
    def job_options(self) -> JobOptions:
        """How the job is to be run."""
        return JobOptions(self.rate or 0.0, self.verify == "kms", self.allow_downgrade, self.accepted)


def typed_consent(subject: Subject, about: str, *, yes: bool) -> Consent:
    """Ask for the text that a change takes, told in `about`; return the consent. Raises Abort, UsageError."""
    if yes:
        return Consent.by_option(subject)
    if not sys.stdin.isatty():
        raise click.UsageError(f"{about} Without a terminal it needs --yes; --dry-run only looks.")
    typed = click.prompt(
        f"{about} Type {subject.confirmation} to go on", default="", show_default=False, err=True
    )
    if not agrees(typed, subject.confirmation):
        raise click.Abort
    return Consent.typed(subject, typed)


def consent_to(subject: Subject, plan: Plan, *, yes: bool) -> Consent:
    """Ask as the danger of `subject`, `plan` or its job, demands; return the consent. Raises Abort."""
    if yes:
        return Consent.by_option(subject)
    if not sys.stdin.isatty():
        raise click.UsageError(
            "This changes tokens. Without a terminal it needs --yes; --dry-run only looks."
        )
    if subject.danger is not Danger.TYPED:
        click.confirm(
            f"{plan.verb.words.capitalize()} {plan.selection}?", default=False, abort=True, err=True
        )
        return Consent.pressed(subject)
    typed = click.prompt(
        f"Type the number of tokens ({subject.confirmation}) to go on",
        default="",
        show_default=False,
        err=True,
    )
    if not agrees(typed, subject.confirmation):
        raise click.Abort
    return Consent.typed(subject, typed)
