"""The sandbox's providers as anybody who holds a token asks them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

from crypto_core.references import TokenRef
from crypto_core.secret import Secret

_SECONDS = 5


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
