"""Makes the forecast of a job's plan: by what this estate tells of itself, by benchmarks, and what if."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.table_figures import DatabaseFigures, read_figures
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.errors import SettingsError
from crypto_core.key_names import region_of
from crypto_core.reencryption.jobs.model import JobPlan
from crypto_core.reencryption.scale.figures import (
    BACKUP_EXTRA_BYTES,
    BULK_JOBS,
    HOSTS,
    WAL,
    Figure,
    Origin,
)
from crypto_core.reencryption.scale.figures import CPU_US as CPU_US_MEASURED
from crypto_core.reencryption.scale.figures import DATABASE_CPU_US as DATABASE_CPU_US_MEASURED
from crypto_core.reencryption.scale.figures import ENVELOPE_BYTES as ENVELOPE_BYTES_MEASURED
from crypto_core.reencryption.scale.forecast import (
    BACKUP_BYTES,
    CALLS,
    CORES,
    CPU_US,
    DATABASE_CPU_US,
    ENVELOPE_BYTES,
    QUOTA,
    RATE,
    SUPPOSABLE,
    TOKENS,
    Forecast,
    forecast,
)
from crypto_core.text.cleaning import clean


@dataclass(frozen=True, slots=True)
class Forecaster:
    """Makes forecasts. Blocks on SQL, and reads nothing but the catalogue and statistics."""

    catalogue: LiveCatalogue

    def of_job(self, plan: JobPlan, supposed: Mapping[str, float] | None = None) -> Forecast:
        """Return what a job would take, with some figures `supposed`. Raises DatabaseError, SettingsError."""
        given = dict(supposed or {})
        require_supposable(given)
        columns = [TokenColumn.named(name) for name in plan.plan.by_column]
        database = read_figures(self.catalogue, columns)
        figures = _figures(plan, database, given)
        by_table: dict[str, float] = {}
        times = figures[TOKENS].value / plan.plan.tokens if plan.plan.tokens else 0.0
        for name, tokens in plan.plan.by_column.items():
            table = TokenColumn.named(name).table
            by_table[table] = by_table.get(table, 0.0) + tokens * times
        return forecast(figures, database, by_table, plan.plan.verb)


def require_supposable(supposed: Mapping[str, float]) -> None:
    """Raise SettingsError for a name that is none, or a number that isn't above 0."""
    for name, value in supposed.items():
        if name not in SUPPOSABLE:
            raise SettingsError(
                f"{clean(name, 60)!r} can't be supposed.", remedy=f"Possible: {', '.join(SUPPOSABLE)}."
            )
        if not 0 < value < 1e18:
            raise SettingsError(f"{name} must be a number above 0.")


def _figures(plan: JobPlan, database: DatabaseFigures, supposed: Mapping[str, float]) -> dict[str, Figure]:
    verb, region = plan.plan.verb, region_of(plan.plan.target_key_arn) or "the Region"
    calls = verb.calls_per_token(ask_kms=plan.options.ask_kms)
    quota = supposed.get(QUOTA, plan.quota)
    chosen = plan.options.calls_per_second
    envelope = _envelope(plan, database)
    known = [
        Figure(TOKENS, plan.plan.tokens, "", Origin.ESTATE, "counted by this plan"),
        Figure(QUOTA, quota, "calls/s", Origin.DOCUMENTED, f"AWS's default for {region}"),
        Figure(
            RATE,
            chosen or quota * plan.quota_share,
            "calls/s",
            Origin.SUPPOSED if chosen else Origin.ASSUMED,
            "--rate" if chosen else f"auto: production leaves {plan.quota_share:.0%} of the quota",
        ),
        Figure(CALLS, calls, "", Origin.DOCUMENTED, "what this job asks KMS for a token"),
        Figure(CORES, os.cpu_count() or 1, "a host", Origin.ASSUMED, "as many as this host has"),
        Figure(CPU_US, CPU_US_MEASURED, "µs a token", Origin.BENCHMARK, BULK_JOBS),
        Figure(DATABASE_CPU_US, DATABASE_CPU_US_MEASURED, "µs a token", Origin.BENCHMARK, HOSTS),
        envelope,
        _backup(database, supposed.get(ENVELOPE_BYTES, envelope.value)),
    ]
    return {
        one.name: Figure(one.name, supposed[one.name], one.unit, Origin.SUPPOSED, "--suppose")
        if one.name in supposed
        else one
        for one in known
    }


def _envelope(plan: JobPlan, database: DatabaseFigures) -> Figure:
    """The mean over the job's columns of whose values pg_stats tells the length."""
    told = {
        f"{table.name}.{column}": width
        for table in database.tables
        for column, width in table.envelope_bytes.items()
    }
    tokens = {name: number for name, number in plan.plan.by_column.items() if name in told}
    if all_tokens := sum(tokens.values()):
        mean = sum(told[name] * number for name, number in tokens.items()) / all_tokens
        return Figure(ENVELOPE_BYTES, mean, "B", Origin.ESTATE, "pg_stats.avg_width")
    return Figure(ENVELOPE_BYTES, ENVELOPE_BYTES_MEASURED, "B", Origin.BENCHMARK, BULK_JOBS)


def _backup(database: DatabaseFigures, envelope_bytes: float) -> Figure:
    if database.backup_bytes is not None:
        return Figure(
            BACKUP_BYTES, database.backup_bytes, "B", Origin.ESTATE, "size of keydeck.envelope_backup"
        )
    return Figure(BACKUP_BYTES, envelope_bytes + BACKUP_EXTRA_BYTES, "B", Origin.BENCHMARK, WAL)
