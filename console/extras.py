"""What only some need is not installed with Keydeck: its extras, and what to say where one is missing."""

from __future__ import annotations

from importlib import util

from console.capabilities import manifests
from crypto_core.values.errors import SettingsError

LAKE = "lake"
"""Copies of events in Parquet, and questions to them."""

MODULES = {
    LAKE: ("duckdb",),
}
"""What each brings, by the names that are imported; capabilities add theirs."""


def missing_modules(extra: str) -> list[str]:
    """Return what an extra brings and is not installed here; imports nothing."""
    added = {name: modules for one in manifests() for name, modules in one.extras.items()}
    return [module for module in (MODULES | added)[extra] if util.find_spec(module) is None]


def install_command(extra: str) -> str:
    return f"pip install 'keydeck[{extra}]'"


def require_extra(extra: str, who: str) -> None:
    """Raise SettingsError where `who` needs an extra that is not installed."""
    if missing := missing_modules(extra):
        raise SettingsError(
            f"{who} needs {', '.join(missing)}, which {'are' if missing[1:] else 'is'} not installed.",
            remedy=f"Install {'them' if missing[1:] else 'it'} with: {install_command(extra)}",
        )
