"""Plans and runs over the platform's rows, and whether every token is what it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.tokens.tables import PLATFORM_TABLES
from crypto_core.envelope import Format, classify
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption import runner
from crypto_core.reencryption.bulk import engine, pipeline
from crypto_core.reencryption.plan import Plan, RunResult, Selection, Verb
from crypto_core.values.references import TokenRef

MakePlan = Callable[..., Plan]


def everything(platform: Engine) -> dict[TokenRef, str]:
    """Every value in a token column that isn't NULL."""
    found: dict[TokenRef, str] = {}
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for column in table.token_columns:
                rows = connection.execute(
                    text(f"SELECT id::text, {column} FROM {table.name} WHERE {column} IS NOT NULL")
                )
                found |= {TokenRef(table.name, column, row_id): stored for row_id, stored in rows}
    return found


def plan(services: Container, verb: Verb, selection: Selection, target: str) -> Plan:
    return services.services.work.plan_reencryption(verb, selection, target)


def run(
    services: Container, verb: Verb, selection: Selection, target: str, *, code: str = "", **options: Any
) -> RunResult:
    """Run a plan, and let the named code of others run with it."""
    made = plan(services, verb, selection, target)
    return services.services.work.run_plan(made, Consent.by_option(made, (code,)), **options)


def under(services: Container, key_arn: str) -> int:
    """How many tokens are under a key, every one of them asked."""
    verified = services.services.work.verify_tokens(Selection(everything=True))
    return sum(v.key_arn == key_arn for v in verified)


def all_hold_their_tokens(cipher: TokenCipher, platform: Engine, world: World) -> bool:
    """Every generated token that opened before the test opens and is what was issued."""
    stored = everything(platform)
    for ref, token in world.tokens.items():
        if token.corruption is not None:
            continue
        value = stored[ref]
        if classify(value).format is Format.V1:
            value = cipher.decrypt(value).reveal()
        elif token.format is Format.DEV:
            continue
        if value != world.token_for(ref):
            return False
    return True


def make_pages_small(change: Callable[[object, str, object], object]) -> None:
    """Have runs read, ask about and write five tokens at a time, and read few ahead."""
    change(runner, "PAGE", 5)
    change(pipeline, "BATCH", 5)
    change(pipeline, "ROOM", 5)
    change(pipeline, "MOST", 5)
    change(engine, "IN_FLIGHT", 5)


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
