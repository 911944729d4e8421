"""What an operator agreed to, checked again where it is carried out.

A screen or a command asks; the service that acts refuses unless it is handed a consent to exactly what it is
about to do, given in the way that its danger demands. So no screen that forgets to ask changes anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from crypto_core.values.counts import listed
from crypto_core.values.errors import NotConfirmedError


class Danger(StrEnum):
    NONE = "none"
    CONFIRM = "confirm"
    TYPED = "typed"
    """A text that only readers of the preview can type."""


DANGERS = tuple(Danger)


class Origin(StrEnum):
    PRESSED = "pressed"
    TYPED = "typed"
    OPTION = "option"


@runtime_checkable
class CodeRunning(Protocol):
    """A subject whose carrying out runs code of others; see database.tokens.attached_code."""

    @property
    def unagreed(self) -> Sequence[str]:
        """By name, as far as the settings don't agree to it."""


def document_digest(document: object) -> str:
    """Return SHA-256, in hex, over a JSON document that tells one plan from another."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


class Subject(Protocol):
    @property
    def digest(self) -> str:
        """Names exactly this: another target or other tokens have another digest."""

    @property
    def danger(self) -> Danger: ...

    @property
    def confirmation(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Consent:
    """One agreement: to what, and how it was given."""

    digest: str
    origin: Origin
    text: str = ""
    code: frozenset[str] = frozenset()
    """Agreed code of others, by name; whoever types or presses has the plan that lists it."""

    @classmethod
    def pressed(cls, subject: Subject) -> Consent:
        """Below the preview of `subject`."""
        return cls(subject.digest, Origin.PRESSED)

    @classmethod
    def typed(cls, subject: Subject, text: str) -> Consent:
        """Below the preview, right or wrong."""
        return cls(subject.digest, Origin.TYPED, text)

    @classmethod
    def by_option(cls, subject: Subject, code: Iterable[str] = ()) -> Consent:
        """By --yes, and --runs-code for the named `code` of others."""
        return cls(subject.digest, Origin.OPTION, code=frozenset(code))


def require(consent: Consent | None, subject: Subject) -> Consent:
    """Return the consent if it is to `subject`, given as its danger demands. Raises NotConfirmedError."""
    if consent is None:
        raise NotConfirmedError("This change has not been confirmed.")
    if consent.digest != subject.digest:
        raise NotConfirmedError("The confirmation was given for a different plan.")
    if consent.origin is Origin.TYPED and not agrees(consent.text, subject.confirmation):
        raise NotConfirmedError(f"The text typed is not {subject.confirmation}.")
    if consent.origin is Origin.OPTION and isinstance(subject, CodeRunning):
        missing = [n for n in subject.unagreed if not {n, n.partition("(")[0]} & consent.code]
        if missing:
            raise NotConfirmedError(
                f"Code of others would run that --yes does not agree to: {listed(missing, 10)}.",
                remedy="Read it. Then name it with --runs-code, or in agreed_code of the settings file.",
            )
    if subject.danger is Danger.TYPED and consent.origin is Origin.PRESSED:
        raise NotConfirmedError(f"Pressing a button is not enough: type {subject.confirmation} to confirm.")
    return consent


def agrees(text: str, confirmation: str) -> bool:
    """A number may be typed with its thousands parted."""
    grouped = f"{int(confirmation):,}" if confirmation.isdecimal() else confirmation
    return text.strip() in (confirmation, grouped)
