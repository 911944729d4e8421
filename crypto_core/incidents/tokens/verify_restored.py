"""Action verify-restored: opens tokens of a restored database, which is only read."""

from __future__ import annotations

from collections.abc import Callable

from crypto_core.copies.comparison import compared, needed_keys, unusable_keys
from crypto_core.copies.register import RegisteredCopy
from crypto_core.errors import RefusedError
from crypto_core.guard.consent import Danger
from crypto_core.incidents.runbooks.catalogue import CaptureKind
from crypto_core.incidents.steps import step_contracts
from crypto_core.incidents.tokens.dependencies import OpenRestored
from crypto_core.incidents.tokens.token_action import AgreedRun, TokenAction, sample_of
from crypto_core.incidents.tokens.verified import captured_verification
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted


class VerifyRestored(TokenAction):
    """The database is the one that the incident names."""

    def __init__(
        self, open_restored: OpenRestored, registered_copy: Callable[[str], RegisteredCopy | None]
    ) -> None:
        """`registered_copy` gives the copy that is registered under the database's name, None for none."""
        self._open = open_restored
        self._copy = registered_copy

    def plan_action(self, situation: step_contracts.Situation) -> step_contracts.ActionPlan:
        """Return how many tokens there are and would be opened. Raises SettingsError for another name."""
        name, sample = _named(situation), sample_of(situation)
        with self._open(name) as database:
            number = database.tokens()
        tried = min(sample, number) if sample else number
        copy = self._copy(name)
        also = ", and one of each column at least," if tried < number else ""
        return step_contracts.ActionPlan(
            title=f"Verify the restored database {clean(name, 100)}",
            digest=step_contracts.plan_digest(situation.incident.name, situation.step.id, name, str(sample)),
            danger=Danger.NONE,
            does=(
                f"Opens {counted(tried, 'token')} of {number:,}{also} with the keys that are trusted here.",
                "Counts its tokens by format and column, and looks how young its rows are.",
                *_beforehand(name, copy),
            ),
            does_not=("Writes nothing into it. No token is shown or kept.",),
            warnings=(
                *(() if number else ("It holds no token: is it the right database?",)),
                *(unusable_keys(copy) if copy else ()),
            ),
        )

    def run_agreed(self, run: AgreedRun) -> step_contracts.ActionResult:
        """Open them. Raises SettingsError, RefusedError, KmsError if KMS can't be asked, DatabaseError."""
        situation = run.situation
        name, sample = _named(situation), sample_of(situation)
        with self._open(name) as database:
            census = database.census(cancelled=situation.cancelled)
            verified = database.verify(
                sample, situation.incident.name, progress=run.progress, cancelled=situation.cancelled
            )
        copy = self._copy(name)
        beside = tuple(compared(copy, census["by_format"])) if copy else ()
        content = verified.as_json() | {"database": clean(name, 100), "sample": sample}
        return step_contracts.ActionResult(
            not verified.interrupted,
            (*verified.lines, *beside),
            verified.values | {"restored": clean(name, 100)},
            (
                captured_verification(verified, content),
                step_contracts.Captured(
                    CaptureKind.CENSUS,
                    f"Census of the restored database {clean(name, 100)}",
                    {"database": clean(name, 100), **census, "beside_scanned_copy": list(beside)},
                ),
            ),
        )


def _beforehand(name: str, copy: RegisteredCopy | None) -> tuple[str, ...]:
    if copy is not None:
        return tuple(needed_keys(copy))
    shown = clean(name, 100)
    return (
        (
            f"No copy {shown} is registered: which keys it needs shows only as its tokens are opened. Scan "
            f"the backup and register it by this name to know before: keydeck copies add {shown}."
        ),
    )


def _named(situation: step_contracts.Situation) -> str:
    name = situation.incident.scope.database
    if not name:
        raise RefusedError(
            f"{situation.incident.name} is not about a restored database.",
            remedy="Declare one with runbook restore-drill.",
        )
    return name
