"""From a job's plan to its beginning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic

from crypto_core.guard.consent import Consent
from screens.asking import ask
from screens.blocking import Trouble, attempt
from screens.services import JobProcesses
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import LOOKING, Plan, PlanDialog


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that has begun; `trouble` is why nothing here works on it, "" where something does."""

    job: int
    trouble: str = ""


class Proposal(PlanDialog[Plan, Begun], Generic[Plan]):
    """Returns the started job, None without one or if the operator left: then the list of jobs shows it."""

    BODY = 42
    LOOKING: ClassVar[str] = f"{LOOKING} Esc stops that."
    LIMIT_SECONDS: ClassVar[float] = 3_600.0
    """A plan over many tokens takes its time; the operator can leave it at any moment."""

    def start(self, plan: Plan, consent: Consent) -> Begun:
        """Begin the job; called in a worker. Raises what the service raises."""
        raise NotImplementedError

    def go_on(self, plan: Plan, consent: Consent) -> None:
        self.under_way(
            f"{self._title}: starting",
            "Counting all tokens before the change, and creating the job… If you leave, find it in the list.",
        )
        self._asked = ask(self, lambda _: self.start(plan, consent), self._end, group="begin", limit=600)

    def _end(self, answer: Begun | Trouble) -> None:
        if isinstance(answer, Begun):
            self.dismiss(answer)
            return
        self.tell(f"{self._title}: not started", trouble_content(answer), leave="Close")


def worked_on(processes: JobProcesses | None, job: int, number: int, *, trust: Iterable[str] = ()) -> Begun:
    """Let processes of this console work on a job that has been made; it is there whether they do or not."""
    if processes is None:
        return Begun(job, f"Nothing here is working on it. Continue it with: keydeck jobs join {job}.")
    found = attempt(lambda: processes.work_on(job, number, trust=tuple(trust)))
    return Begun(job, str(found) if isinstance(found, Trouble) else "")
