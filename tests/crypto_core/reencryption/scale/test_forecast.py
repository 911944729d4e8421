"""What a job over very many tokens is said to take, and what that is reckoned from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.container import Container
from console.sandbox.world import World
from crypto_core.database.tokens.table_figures import DatabaseFigures, TableFigures, read_figures
from crypto_core.database.tokens.tables import TokenColumn
from crypto_core.reencryption.jobs.model import JobOptions
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.reencryption.scale.figures import Basis, Figure
from crypto_core.reencryption.scale.forecast import Forecast, Forecaster, forecast
from crypto_core.values.errors import SettingsError

TABLE = TableFigures("t", 1e9, 10**12, 3, 0, 100, 2e8, {})
VALUES = {
    "tokens": 1e9,
    "quota": 100_000,
    "rate": 50_000,
    "calls-per-token": 2,
    "cores": 8,
    "cpu-us": 200,
    "database-cpu-us": 100,
    "envelope-bytes": 750,
    "backup-bytes": 1_000,
}


def told(
    table: TableFigures = TABLE, *, images: bool = True, verb: Verb = Verb.REENCRYPT, **values: float
) -> Forecast:
    given = VALUES | {name.replace("_", "-"): value for name, value in values.items()}
    figures = {name: Figure(name, value, "", Basis.ASSUMED) for name, value in given.items()}
    database = DatabaseFigures((table,), writes_page_images=images)
    return forecast(figures, database, {table.name: given["tokens"]}, verb)


def test_a_thousand_million_tokens_at_half_of_the_largest_quota() -> None:
    found = told()
    assert (found["time"], found["cost"], found["calls"]) == (40_000, 6_000, 2e9)
    assert (found["processes"], found["hosts"], found["database cores"]) == (5, 1, 2.5)
    assert (found["backups"], found["transactions"]) == (1e12, 2e6)
    assert found["WAL a second"] == pytest.approx(found["WAL"] / 40_000)
    twice = told(quota=200_000, rate=100_000)
    assert (twice["time"], twice["processes"], twice["hosts"]) == (20_000, 10, 2)


def test_pages_with_room_take_no_writes_to_indexes_and_a_token_index_takes_them_all() -> None:
    full, roomy = told(), told(replace(TABLE, fillfactor=90))
    assert 0 < full["index writes"] < 3e9
    assert (roomy["index writes"], roomy["table growth"]) == (0, 0)
    indexed = told(replace(TABLE, fillfactor=50, token_indexes=1))
    assert indexed["index writes"] == 3e9
    assert indexed["dead rows"] == 1e9 > full["dead rows"]
    assert any("has a token column of t" in one.advice for one in indexed.results)


def test_where_no_row_stays_in_its_page_a_table_grows_until_vacuum_comes() -> None:
    indexed = replace(TABLE, token_indexes=1)
    assert told(indexed)["table growth"] == pytest.approx(2e11)
    assert told(replace(indexed, vacuum_at=None))["table growth"] == pytest.approx(1e12)
    assert told(replace(indexed, rows=None, vacuum_at=None))["table growth"] == 750e9
    assert 0 < told()["table growth"] < told(indexed)["table growth"]


def test_a_server_without_images_of_pages_writes_less_wal_and_one_without_backups_less_still() -> None:
    found, plain = told(images=False), told(images=False, verb=Verb.ENCRYPT)
    assert (found["of it images of pages"], plain["backups"]) == (0, 0)
    assert told()["WAL"] == pytest.approx(found["WAL"] + told()["of it images of pages"])
    assert plain["WAL"] < found["WAL"] < told()["WAL"]


def test_the_estate_tells_of_its_tables_and_what_if_replaces_what_is_known(
    services: Container, world: World
) -> None:
    plan = services.tokens.jobs.plan_job(
        Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn, JobOptions()
    )
    (table,) = read_figures(services.catalogue, [TokenColumn("gh_connection", "access_token")]).tables
    assert (table.name, table.fillfactor, table.token_indexes) == ("gh_connection", 100, 0)
    assert table.indexes >= 1
    assert table.heap_bytes > 0
    found = Forecaster(services.catalogue).of_job(plan, {"tokens": 1e9, "quota": 100_000})
    origins = {one.name: one.origin for one in found.figures}
    assert (origins["tokens"], origins["quota"], origins["cpu-us"]) == (
        Basis.SUPPOSED,
        Basis.SUPPOSED,
        Basis.BENCHMARK,
    )
    assert found["calls"] == 2e9
    assert found["time"] == pytest.approx(2e9 / 100_000)
    with pytest.raises(SettingsError, match="can't be supposed"):
        Forecaster(services.catalogue).of_job(plan, {"colour": 1})
    with pytest.raises(SettingsError, match="above 0"):
        Forecaster(services.catalogue).of_job(plan, {"tokens": 0})
