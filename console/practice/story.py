"""What has happened before the demo opens: seven days of events, an intruder, receipts, an incident, a job.

Events are fetched and the incident is declared before the console opens; it is worked through, and the job
is done, in a thread meanwhile. All of it is real work in the sandbox, told in the demo's log.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from console.container import Container
from console.practice.game_day.runbook_work import RunbookWork, agreed, change_key
from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.platform_part import PlatformPart
from console.sandbox.provider_tokens import Style
from console.sandbox.timeline import last_night
from console.sandbox.traffic import DAYS, OFFICE_ADDRESS, Caller, visit
from console.sandbox.world import World
from console.settings import load
from crypto_core.aws.receipts.receipt import Receipt, ReceiptProcess
from crypto_core.incidents.model import IncidentScope, StepView
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.lists.paging import Query
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.trail.store import EventStore
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import InterruptedRunError, KeydeckError, RefusedError

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox
    from crypto_core.values.references import TokenRef

_log = logging.getLogger(__name__)
_LEAVE_SECONDS = 20.0
_CALLS = "name:Decrypt,GenerateDataKey -failed principal:*platform,*oncall"
_ON_CALL = Caller(
    access_keys.ON_CALL,
    OFFICE_ADDRESS,
    "Boto3/1.40.21 md/Botocore#1.40.21 ua/2.1 os/linux#6.8 lang/python#3.12.6 app/keydeck",
)
_VERIFIED = 120
"""Tokens that were opened once in the week: so the job that the demo opens on is nothing unheard of."""
_ROUND = ("ListAliases", "DescribeKey", "GetKeyRotationStatus", "Decrypt", "Decrypt", "Decrypt")
_VISIT_DECRYPTS = 240
"""More within an hour than anybody but the platform ever made."""
_VISIT_LASTS = timedelta(minutes=5)
_REFUSED_IN_VISIT = ("ListKeyPolicies", "GetKeyPolicy", "ListGrants", "CreateGrant", "PutKeyPolicy")
JOB_TOKENS = 120
"""At most: the demo opens soon, however many tokens it has."""
INCIDENT_TITLE = "A GitHub token in a support ticket"
INCIDENT_OUTCOME = "The token was revoked and replaced before anybody used it; its key was rotated."
_INCIDENT_SINCE = timedelta(hours=1)
_INCIDENT_NOTES = {
    "scope": "A customer pasted the token into a support ticket. Support saw it, nobody else.",
    "access": "The ticket is deleted. Nobody but the platform and the console called Decrypt since.",
}


class Story:
    """Use it as a context manager around what shows the sandbox; it stops when that is left."""

    def __init__(self, sandbox: Sandbox, platform: PlatformPart) -> None:
        self._sandbox = sandbox
        self._platform = platform
        self._container = Container(load({"read_only": False}).settings)
        self._stopped = Event()
        self._thread = Thread(target=self._tell, name="demo-story", daemon=True)

    def begin(self) -> Self:
        """Fetch the events and go on in the background. Raises KeydeckError."""
        # That the sandbox was set up a moment ago is no part of it: keys and trail have been there for years.
        self._sandbox.control.forget(self._sandbox.world.now)
        self._sandbox.control.set_address(access_keys.ON_CALL, OFFICE_ADDRESS)
        self._sandbox.control.history(past_calls(self._sandbox.world))
        self._fetch()
        self._thread.start()
        return self

    def wait(self) -> Self:
        self._thread.join()
        return self

    def stop(self) -> None:
        """End it where it is; safe to call twice."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVE_SECONDS)
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _tell(self) -> None:
        try:
            self._tell_all()
        except InterruptedRunError:
            return
        except KeydeckError as error:
            _log.warning("The demo's story is not complete: %s", error.message)

    def _tell_all(self) -> None:
        store = self._container.trail.events
        store.add_receipts(list(past_receipts(store, self._sandbox.world)))
        incident = ClosedIncident(self._container, self._sandbox, self._platform, _log.info, self._stopped)
        number = incident.declare()
        _log.info("Job %d is done.", finish_job(self._container, self._sandbox.world, self._stopped))
        incident.work(number, INCIDENT_OUTCOME)
        _log.info("Incident %d is closed; its report: keydeck incident report %d", number, number)
        self._fetch()

    def _fetch(self) -> None:
        self._sandbox.control.deliver()
        since = self._sandbox.world.now - timedelta(days=DAYS)
        report = self._container.trail.puller.pull_events("s3", since=since, cancelled=self._stopped)
        _log.info("%s fetched from the trail's bucket.", counted(report.new, "event"))


def past_receipts(store: EventStore, world: World) -> Iterator[Receipt]:
    """Yield a receipt for each call of platform and console in the store up to `world.now`.

    The intruder and the analyst write none, so what they opened stays a possibility. Raises EventStoreError.
    """
    draw = random.Random(f"{world.seed}/receipts")  # noqa: S311  made-up data, nothing secret
    under = {key.arn: world.sealed_under(key) for key in (world.current_key, world.old_key)}
    start = None
    while True:
        page = store.page(Query(f"{_CALLS} until:{world.now.isoformat()}"), start, limit=1_000)
        for stored in page.rows:
            event = stored.event
            tokens = under.get(event.key_arns[0] if event.key_arns else "", ())
            if tokens:
                service = "platform-api" if event.principal.arn.endswith("platform") else "keydeck"
                host = f"{service}-{event.source_ip.rpartition('.')[2]}"
                yield Receipt(
                    event.request_id,
                    event.name,
                    event.time,
                    clean(str(draw.choice(tokens))),
                    None,
                    ReceiptProcess(clean(host), 1, clean(service)),
                )
        if not page.below:
            return
        start = page.last


def past_calls(world: World) -> Iterator[PastCall]:
    yield from daily_rounds(world)
    yield from last_visit(world)


def daily_rounds(world: World) -> Iterator[PastCall]:
    """Yield what the console on call asks every morning; on the first of the days it opened a sample, too."""
    for days in range(1, DAYS):
        begun = (world.now - timedelta(days=days)).replace(hour=7, minute=30, second=0, microsecond=0)
        sample = ("Decrypt",) * _VERIFIED if days == DAYS - 1 else ()
        for number, operation in enumerate((*_ROUND, *sample)):
            key = None if operation == "ListAliases" else world.current_key.arn
            yield _ON_CALL.call(begun + timedelta(seconds=number), operation, key)


def last_visit(world: World) -> Iterator[PastCall]:
    """Yield the calls of an intruder who came again last night."""
    draw = random.Random(f"{world.seed}/last visit")  # noqa: S311  made-up data, nothing secret
    begun = last_night(world.now, 3, 12, _VISIT_LASTS)
    key = world.current_key.arn
    refused = [(operation, key) for operation in _REFUSED_IN_VISIT]
    yield from visit(begun, draw, refused, key, _VISIT_DECRYPTS, hesitates=(3, 8))


def finish_job(container: Container, world: World, cancelled: Event) -> int:
    """Work on a job as `keydeck rewrap --job` does, and return its number. Raises KeydeckError."""
    under_old = world.sealed_under(world.old_key)[:JOB_TOKENS]
    if not under_old:
        raise RefusedError("There is no token under the old key.")
    jobs, chosen = container.tokens.jobs, Selection(references=under_old)
    plan = jobs.plan_job(Verb.REWRAP, chosen, world.current_key.arn, JobOptions(), cancelled=cancelled)
    made = jobs.start_job(plan, agreed(plan))
    jobs.join_job(made, cancelled=cancelled)
    return made


class ClosedIncident(RunbookWork):
    """The incident of one leaked token. The console's own services do it: what the report has is real."""

    SKIPS = False

    def declare(self) -> int:
        world = self.sandbox.world
        scope = IncidentScope(
            references=(str(self._leaked()),), since=world.now - _INCIDENT_SINCE, origin="support ticket 4711"
        )
        return self.incidents.declare("token-compromise", scope, INCIDENT_TITLE)

    def do_step(self, number: int, view: StepView) -> None:
        step = view.step
        if step.id in _INCIDENT_NOTES:
            self.incidents.note(number, _INCIDENT_NOTES[step.id], step.id)
        if step.id == "key":
            self.incidents.answer(number, step.id, "rotate the key")
        elif step.id == "enter":
            # The owner connects again through the platform: the best way, as the step says.
            self.platform.reconnect((self._leaked(),), self.container.keyring)
            self.incidents.finish(number, step.id, cancelled=self._cancelled)
        else:
            super().do_step(number, view)

    def elsewhere(self, number: int, view: StepView) -> None:
        if view.step.id == "rotate":
            change_key(self.container, KeyChange(ChangeKind.ROTATE, self.sandbox.world.current_key.arn))

    def _leaked(self) -> TokenRef:
        """A GitHub token of a person that opens, so that its provider can be asked about it."""
        world = self.sandbox.world
        for token in world.tokens.values():
            mine = token.style is Style.GITHUB_USER and token.key_arn == world.current_key.arn
            if mine and token.corruption is None:
                return token.ref
        raise RefusedError("There is no GitHub token of a person that opens.")
