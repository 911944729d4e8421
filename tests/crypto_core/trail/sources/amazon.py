"""AWS for tests of sources: the sandbox's endpoint, each question noted, some answered by the test."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from typing import Any

from crypto_core.aws.kms import KmsApi
from crypto_core.trail.columns import seconds
from crypto_core.trail.sources.puller import EngineMaker, EventPuller
from crypto_core.trail.sources.report import PullProgress
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.pulls import TimeWindow
from crypto_core.values.errors import KmsAccessDeniedError
from tests.crypto_core.trail.records import record

HERE, THERE = "eu-west-1", "us-east-1"
BOTH = (HERE, THERE)
ACCOUNT, OTHER_ACCOUNT = "123456789012", "999988887777"

Asked = tuple[str, str, dict[str, Any]]
"""An operation, its Region, its parameters."""
Instead = Callable[[str, str, dict[str, Any]], Mapping[str, Any] | None]
"""What a test answers instead of AWS; None leaves it to AWS. It may raise."""


class WatchedAws(KmsApi):
    """AWS as it is, but for what `instead` answers or `after` changes; `asked` are all questions in order."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: list[Asked] = []
        self.instead: list[Instead] = []
        self.after: Callable[[str, dict[str, Any]], None] = lambda _operation, _answer: None
        self._noting = Lock()

    def read(self, service: str, operation: str, *, region: str, **parameters: Any) -> dict[str, Any]:
        with self._noting:
            self.asked.append((operation, region, parameters))
        for one in self.instead:
            found = one(operation, region, parameters)
            if found is not None:
                return dict(found)
        answer = super().read(service, operation, region=region, **parameters)
        self.after(operation, answer)
        return answer

    def named(self, operation: str, region: str | None = None) -> list[dict[str, Any]]:
        """The parameters of all questions of this name."""
        return [p for name, where, p in self.asked if name == operation and region in (None, where)]


class Clock:
    """Now, until it is set to something else."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def ago(self, **span: float) -> datetime:
        """The moment so long before."""
        return self.now - timedelta(**span)


class Rests:
    """Waits that take no time: how long each would have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, _cancelled: Event, seconds: float) -> None:
        self.seconds.append(seconds)


def denying(operation: str, region: str | None = None, **wanted: str) -> Instead:
    """Refuse an operation, in one Region or in all, or only with these parameters."""

    def instead(name: str, where: str, parameters: dict[str, Any]) -> None:
        if name == operation and region in (None, where) and wanted.items() <= parameters.items():
            raise KmsAccessDeniedError("no", operation=name, action=f"aws:{name}")

    return instead


def puller(
    aws: KmsApi,
    store: EventStore,
    clock: Callable[[], datetime],
    *,
    regions: Sequence[str] = (HERE,),
    rest: Callable[[Event, float], object] | None = None,
    per_second: float = 1e6,
    engines: Mapping[str, EngineMaker] | None = None,
    aliases: Callable[[], Mapping[str, Sequence[str]]] = dict,
) -> EventPuller:
    """A puller that never waits."""
    return EventPuller(
        aws,
        store,
        regions=lambda: regions,
        clock=clock,
        rest=rest or Rests(),
        per_second=per_second,
        engines=engines,
        aliases=aliases,
    )


def log_file(*records: Mapping[str, Any]) -> bytes:
    """A log file as CloudTrail delivers it."""
    return gzip.compress(json.dumps({"Records": records}).encode(), mtime=0)


def dated(moment: datetime, name: str = "Decrypt", **more: Any) -> dict[str, Any]:
    """A record of that moment."""
    return record(name, eventTime=f"{moment:%Y-%m-%dT%H:%M:%SZ}", **more)


def log_key(
    day: datetime,
    *,
    region: str = HERE,
    account: str = ACCOUNT,
    prefix: str = "",
    kind: str = "CloudTrail",
) -> str:
    """Where CloudTrail puts a new file on a day."""
    return (
        f"{prefix}AWSLogs/{account}/{kind}/{region}/{day:%Y/%m/%d}/"
        f"{account.rsplit('/', 1)[-1]}_{kind}_{region}_{day:%Y%m%dT%H%MZ}_{uuid.uuid4().hex[:16]}.json.gz"
    )


def day_of(first: datetime) -> dict[str, datetime]:
    """The window of a day, and a little more, around what happened."""
    return {"since": first - timedelta(minutes=5), "until": first + timedelta(hours=23)}


def window_of(first: datetime) -> TimeWindow:
    day = day_of(first)
    return TimeWindow(seconds(day["since"]), seconds(day["until"]))


def pages(aws: WatchedAws, source: str = "kms.amazonaws.com", region: str = HERE) -> list[dict[str, Any]]:
    """The parameters of the pages that were asked for."""
    return [
        p for p in aws.named("LookupEvents", region) if p["LookupAttributes"][0]["AttributeValue"] == source
    ]


def stopping_after(count: int, cancelled: Event) -> Callable[[PullProgress], None]:
    def told(progress: PullProgress) -> None:
        if progress.pages >= count:
            cancelled.set()

    return told
