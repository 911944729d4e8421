"""Where the intruder acts: AWS as each of its identities, the database, and the providers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from console.practice.game_day.scenario import Persona, Scenario
from console.sandbox import access_keys
from console.sandbox.cloudtrail import TRAIL
from console.sandbox.stored_values import Stored, envelopes, read_all
from console.sandbox.traffic import PLATFORM_ADDRESSES
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox

_SECONDS = 5


class GameTokenUse(Protocol):
    def takes(self, ref: TokenRef, token: Secret) -> bool | None:
        """Return True if the token works, False if it is dead, None if there is nobody to say so."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the intruder gets at. `client` makes a boto3 client of a service for one of its identities."""

    key_arn: str
    client: Callable[[str, Persona], Any]
    database: Callable[[], tuple[Stored, ...]]
    providers: GameTokenUse
    trail: str = TRAIL


def stage_in(sandbox: Sandbox, scenario: Scenario, providers: GameTokenUse | None = None) -> Stage:
    """Return the sandbox as the intruder's stage, its identities registered. Raises DatabaseError."""
    sandbox.control.set_address(access_keys.PLATFORM, PLATFORM_ADDRESSES[0])
    for persona in scenario.personas:
        sandbox.control.add_principal(persona.access_key, persona.name, persona.kind, persona.session)
        sandbox.control.set_address(persona.access_key, persona.address)

    def client(service: str, persona: Persona) -> Any:
        return client_of(sandbox, service, persona)

    def database() -> tuple[Stored, ...]:
        return read_all(sandbox.platform_database_url)

    # The story is about alias/tokens; what is under the key before it stays out of it.
    older = frozenset(sandbox.world.sealed_under(sandbox.world.old_key))
    spared = {e.edk_prefix for ref, e in envelopes(database()) if ref in older}

    def within_reach() -> tuple[Stored, ...]:
        return tuple(s for s in database() if s.envelope is None or s.envelope.edk_prefix not in spared)

    return Stage(sandbox.world.current_key.arn, client, within_reach, providers or sandbox.providers)


def client_of(sandbox: Sandbox, service: str, persona: Persona) -> Any:
    """Return a boto3 client of a service for an identity, whose calls carry its user agent to the letter."""
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, connect_timeout=_SECONDS, read_timeout=_SECONDS)
    client = sandbox.client(service, persona.access_key, config=config)

    def disguise(request: Any, **_: Any) -> None:
        # botocore adds its own name to a user agent that is configured. The header is not signed.
        request.headers["User-Agent"] = persona.agent

    client.meta.events.register("before-send", disguise)
    return client
