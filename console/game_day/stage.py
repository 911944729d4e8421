"""Where the intruder acts: AWS as each of its identities, the database, and the providers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from console.game_day.loot import Stored, envelopes, read_all
from console.game_day.scenario import Persona, Scenario
from console.sandbox import access_keys
from console.sandbox.cloudtrail import TRAIL
from console.sandbox.traffic import PLATFORM_ADDRESSES
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

if TYPE_CHECKING:
    from console.sandbox.sandbox import Sandbox

_SECONDS = 5


class TokenUse(Protocol):
    def takes(self, ref: TokenRef, token: Secret) -> bool | None:
        """Return True if the token works, False if it is dead, None if there is nobody to say so."""
        ...


class SandboxProviders:
    """The sandbox's providers, asked as anybody who holds a token asks them."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` name the providers' addresses, by the environment variables that Keydeck reads."""
        self._github = settings["KEYDECK_GITHUB_URL"]
        self._slack = settings["KEYDECK_SLACK_URL"]
        self._atlassian = settings["KEYDECK_ATLASSIAN_URL"]
        # No proxy: the providers are on the loopback interface.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def takes(self, ref: TokenRef, token: Secret) -> bool | None:
        """Return whether a token works; None for those that say so only together with something else."""
        text = token.reveal()
        if text.startswith(("gho_", "ghu_", "ghp_", "ghs_", "github_pat_")):
            return self._says(f"{self._github}/user", text)
        if text.startswith("xox"):
            return self._says(f"{self._slack}/api/auth.test", text)
        if text.startswith("eyJ"):
            return self._says(f"{self._atlassian}/oauth/token/accessible-resources", text)
        return None

    def _says(self, url: str, token: str) -> bool | None:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 (the URL is ours)
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                # 403: it is known, and may not do this.
                return {401: False, 403: True}.get(error.code)
        except (OSError, ValueError):
            return None
        return bool(told.get("ok", True)) if isinstance(told, dict) else True


@dataclass(frozen=True, slots=True)
class Stage:
    """What the intruder gets at. `client` makes a boto3 client of a service for one of its identities."""

    key_arn: str
    client: Callable[[str, Persona], Any]
    database: Callable[[], tuple[Stored, ...]]
    providers: TokenUse
    trail: str = TRAIL


def stage_in(sandbox: Sandbox, scenario: Scenario, providers: TokenUse | None = None) -> Stage:
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

    return Stage(sandbox.world.current_key.arn, client, within_reach, providers or providers_of(sandbox))


def providers_of(sandbox: Sandbox) -> TokenUse:
    return SandboxProviders(sandbox.providers.settings())


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
