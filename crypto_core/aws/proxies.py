"""The environment's proxies: refused where a part of a password could be taken for the host."""

from __future__ import annotations

from urllib.request import getproxies_environment

from crypto_core.values.errors import SettingsError


def require_clear_proxies() -> None:
    """Raise SettingsError for a proxy whose user or password holds a sign that ends them.

    Nothing of it is repeated. Different libraries would look up different parts of such a URL as the host.
    """
    for name, url in getproxies_environment().items():
        user_info = (url.partition("://")[2] or url).rpartition("@")[0]
        if name != "no" and any(sign in user_info for sign in "@/?#"):
            raise SettingsError(
                f"{name.upper()}_PROXY holds a password in which @, /, ? or # stands as it is.",
                remedy="Percent-encode it: @ as %40, / as %2F, ? as %3F, # as %23.",
            )
