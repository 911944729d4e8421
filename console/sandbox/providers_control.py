"""Client for what no provider's API has: tokens that are issued, and what goes wrong on purpose."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from console.sandbox.audit_logs import AUDIT_TOKEN
from console.sandbox.endpoint.control import LOCAL
from console.sandbox.endpoint.control_access import TOKEN_HEADER
from console.sandbox.providers import PREFIX, ProviderCall, ProviderFault
from console.setting_parts import OF_OWN_URLS
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

_TIMEOUT = 30.0
_ASKED = 5
_AUDIT_TOKENS = ("KEYDECK_GITHUB_AUDIT_TOKEN", "KEYDECK_SLACK_AUDIT_TOKEN", "KEYDECK_ATLASSIAN_AUDIT_TOKEN")


class ProviderControl:
    """The sandbox's providers. Each call but `takes` raises OSError if the endpoint doesn't answer."""

    def __init__(self, endpoint_url: str, token: str) -> None:
        self._token = token
        self._url = endpoint_url.rstrip("/") + PREFIX

    @property
    def urls(self) -> dict[str, str]:
        """The base URL here of every provider, so that none is asked at its own."""
        from crypto_core.providers.registry import own_providers

        names = {*OF_OWN_URLS, *(name for name, one in own_providers().items() if one.base)}
        return {name: f"{self._url}{name}" for name in sorted(names)}

    def settings(self) -> dict[str, str]:
        urls = self.urls
        own = {f"KEYDECK_{name.upper()}_URL": urls.pop(name) for name in OF_OWN_URLS}
        return own | {"KEYDECK_PROVIDER_URLS": json.dumps(urls)}

    @staticmethod
    def audit_settings() -> dict[str, str]:
        return dict.fromkeys(_AUDIT_TOKENS, AUDIT_TOKEN)

    def issue(self, token: str) -> None:
        """Let the providers take a token from now on, such as one that replaces a revoked one."""
        self._call("issue", token=token)

    def revoke(self, token: str) -> None:
        self._call("revoke", token=token)

    def fault(
        self, provider: str, kind: str, count: int = 1, *, path: str = "", retry_after: str = "1"
    ) -> None:
        """Let the next `count` requests fail as `ProviderFault` says; `provider` is "" for any."""
        self._call("fault", provider=provider, kind=kind, count=count, path=path, retry_after=retry_after)

    def behave(self, *, delay: float = 0.3, name: str = "") -> None:
        """Set the seconds that GitHub takes to revoke, and the name of all accounts ("": their own)."""
        self._call("behave", delay=delay, name=name)

    def use(self, uses: Sequence[Mapping[str, Any]]) -> None:
        """Write into the audit logs what was done, each with the fields of ProviderUse."""
        self._call("use", uses=list(uses))

    def exported(self, provider: str) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self._call("export", provider=provider)
        return records

    def takes(self, ref: TokenRef, token: Secret) -> bool | None:
        """Ask as anybody who holds a token: whether it works, None if it says so only with something else."""
        text = token.reveal()
        if text.startswith(("gho_", "ghu_", "ghp_", "ghs_", "github_pat_")):
            return self._says("github/user", text)
        if text.startswith("xox"):
            return self._says("slack/api/auth.test", text)
        if text.startswith("eyJ"):
            return self._says("atlassian/oauth/token/accessible-resources", text)
        return None

    def _says(self, path: str, token: str) -> bool | None:
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self._url}{path}", headers=headers)  # noqa: S310 (the URL is ours)
        try:
            with LOCAL.open(request, timeout=_ASKED) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                # 403: it is known, and may not do this.
                return {401: False, 403: True}.get(error.code)
        except (OSError, ValueError):
            return None
        return bool(told.get("ok", True)) if isinstance(told, dict) else True

    def calls(self) -> tuple[ProviderCall, ...]:
        return tuple(ProviderCall(**call) for call in self._call("calls"))

    def clear(self) -> None:
        """As at the start: nothing revoked, nothing issued besides, nothing that goes wrong."""
        self._call("clear")

    def _call(self, call: str, /, **document: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 (the URL is ours)
            f"{self._url}control/{call}",
            data=json.dumps(document).encode(),
            headers={TOKEN_HEADER: self._token},
        )
        with LOCAL.open(request, timeout=_TIMEOUT) as answer:
            return json.load(answer)


__all__ = ["ProviderCall", "ProviderControl", "ProviderFault"]
