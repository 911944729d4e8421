"""What is recorded beside the sandbox's traffic: the console's own rounds, and the intruder's last visit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from console.sandbox import access_keys
from console.sandbox.endpoint import PastCall
from console.sandbox.traffic import DAYS, INTRUDER_ADDRESS, INTRUDER_AGENT, OFFICE_ADDRESS
from console.sandbox.world import World

_AGENT = "Boto3/1.40.21 md/Botocore#1.40.21 ua/2.1 os/linux#6.8 lang/python#3.12.6 app/keydeck"
_VERIFIED = 120
"""Tokens that were opened once in the week: so the job that the demo opens on is nothing unheard of."""
_ROUND = ("ListAliases", "DescribeKey", "GetKeyRotationStatus", "Decrypt", "Decrypt", "Decrypt")
_DECRYPTS = 240
"""More within an hour than anybody but the platform ever made."""
_LASTS = timedelta(minutes=5)
_LATELY = timedelta(hours=23)
_REFUSED = ("ListKeyPolicies", "GetKeyPolicy", "ListGrants", "CreateGrant", "PutKeyPolicy")


def past_calls(world: World) -> Iterator[PastCall]:
    """Yield all of it, for the seven days before `world.now`."""
    yield from daily_rounds(world)
    yield from last_visit(world)


def daily_rounds(world: World) -> Iterator[PastCall]:
    """Yield what the console on call asks every morning: the keys, and whose a few envelopes are.

    On the first of the days it opened a sample of the tokens, too.
    """
    for days in range(1, DAYS):
        begun = (world.now - timedelta(days=days)).replace(hour=7, minute=30, second=0, microsecond=0)
        sample = ("Decrypt",) * _VERIFIED if days == DAYS - 1 else ()
        for number, operation in enumerate((*_ROUND, *sample)):
            yield PastCall(
                time=begun + timedelta(seconds=number),
                access_key_id=access_keys.ON_CALL,
                operation=operation,
                key_id=None if operation == "ListAliases" else world.current_key.arn,
                source_ip=OFFICE_ADDRESS,
                user_agent=_AGENT,
            )


def visit_begins(now: datetime) -> datetime:
    """Return when the intruder came again: at 03:12 UTC, or an hour later where that is not within a day."""
    begun = now.replace(hour=3, minute=12, second=9, microsecond=0)
    if begun + _LASTS >= now:
        begun -= timedelta(days=1)
    if now - begun < _LATELY:
        return begun
    return (now - _LATELY).replace(minute=12, second=9, microsecond=0)


def last_visit(world: World) -> Iterator[PastCall]:
    """Yield it: what the access key may do is tried out again, then data keys are unwrapped."""
    draw = random.Random(f"{world.seed}/last visit")  # noqa: S311  made-up data, nothing secret
    moment = visit_begins(world.now)
    for operation in (*_REFUSED, *("Decrypt",) * _DECRYPTS):
        refused = operation != "Decrypt"
        yield PastCall(
            time=moment,
            access_key_id=access_keys.INTRUDER,
            operation=operation,
            key_id=world.current_key.arn,
            source_ip=INTRUDER_ADDRESS,
            user_agent=INTRUDER_AGENT,
            error_code="AccessDenied" if refused else None,
        )
        moment += timedelta(seconds=draw.uniform(3, 8) if refused else draw.uniform(0.2, 1.1))
