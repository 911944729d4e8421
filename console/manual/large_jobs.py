"""The manual's table of what a job over a thousand million tokens takes: the same forecast as `--plan`'s."""

from __future__ import annotations

from crypto_core.database.tokens.table_figures import DatabaseFigures, TableFigures
from crypto_core.reencryption.plan import Verb
from crypto_core.reencryption.scale import figures as f
from crypto_core.reencryption.scale.forecast import (
    BACKUP_BYTES,
    CALLS,
    CORES,
    CPU_US,
    DATABASE_CPU_US,
    ENVELOPE_BYTES,
    QUOTA,
    RATE,
    TOKENS,
    Forecast,
    forecast,
)
from screens.plan_words import value_words

_TOKENS, _QUOTA, _CORES, _ROW_BYTES = 1e9, 100_000.0, 8.0, 750.0
_RATES = (50_000.0, 100_000.0)
_TABLE = TableFigures("connection", _TOKENS, int(_TOKENS * _ROW_BYTES), 1, 0, 100, 100e6, {})


def forecast_at(rate: float) -> Forecast:
    """What re-encryption of the table takes at so many calls of KMS a second."""
    values = {
        TOKENS: _TOKENS,
        QUOTA: _QUOTA,
        RATE: rate,
        CALLS: 2.0,
        CORES: _CORES,
        CPU_US: f.CPU_US,
        DATABASE_CPU_US: f.DATABASE_CPU_US,
        ENVELOPE_BYTES: f.ENVELOPE_BYTES,
        BACKUP_BYTES: f.ENVELOPE_BYTES + f.BACKUP_EXTRA_BYTES,
    }
    given = {name: f.Figure(name, value, "", f.Basis.SUPPOSED) for name, value in values.items()}
    return forecast(given, DatabaseFigures((_TABLE,)), {_TABLE.name: _TOKENS}, Verb.REENCRYPT)


def markdown() -> str:
    """Return the table: each thing at either rate, and what to do about it."""
    slow, fast = map(forecast_at, _RATES)
    heads = [f"{rate:,.0f} calls/s" for rate in _RATES]
    lines = [f"| it takes | {heads[0]} | {heads[1]} | what to do |", "|---|---|---|---|"]
    for at_half, at_most in zip(slow.results, fast.results, strict=True):
        words = (at_half.name, value_words(at_half), value_words(at_most), at_most.advice)
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)
