"""A test: a name, what it measures, the parts that it reads, and the function that answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from crypto_core.compliance.answer import Cause, ControlAnswer, lacking
from crypto_core.compliance.snapshot import MissingPart, Snapshot, SnapshotPart
from crypto_core.text.cleaning import clean


@dataclass(frozen=True, slots=True)
class ControlTest:
    """One test. `ask` gets the moment of the snapshot and the facts of `parts`, in their order.

    It is asked only where all of these are there: what is missing is never met.
    """

    name: str
    measures: str
    parts: tuple[SnapshotPart, ...]
    ask: Callable[..., ControlAnswer]

    def answer(self, snapshot: Snapshot) -> ControlAnswer:
        """Return what the test says of a snapshot. Pure."""
        found = [snapshot.part(part) for part in self.parts]
        for one in found:
            if isinstance(one, MissingPart):
                return lacking(one)
        answer = self.ask(snapshot.taken_at, *found)
        if not (answer.causes or answer.undecided):
            return answer
        return replace(answer, causes=self._named(answer.causes), undecided=self._named(answer.undecided))

    def _named(self, causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
        """Each cause once; one without a kind is known by this test."""
        named = [one if one.kind else replace(one, kind=clean(self.name)) for one in causes]
        return tuple({one.id: one for one in reversed(named)}.values())[::-1]
