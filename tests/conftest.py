"""Fixtures for all floors: one sandbox a test process, a database of its own for each test that asks."""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, make_url, text

from console.__main__ import run
from console.container import Container
from console.sandbox.postgres import OPERATOR, PLATFORM
from console.sandbox.providers_control import ProviderControl
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.connection.engine import open_engine
from crypto_core.database.state.installation import install, require_schema
from crypto_core.providers.endpoints import Endpoints
from crypto_core.reencryption.bulk import engine as bulk_engine
from crypto_core.values.errors import MissingSchemaError
from crypto_core.values.references import TokenRef
from tests import costs, drawn, lanes, made_once, own_path

CONNECTIONS = 120
ROOM_IN_MEMORY = 4 << 30
SEED = 1
"""Of the order of tests in each run that gives none."""

made_once.share()
own_path.keep()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--costs", type=Path, metavar="FILE", help="Write each test's processor seconds, as JSON."
    )
    parser.addoption("--drawn", action="store_true", help="Of deep tests run what the last commit draws.")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share tests out evenly, in the same order each time, unless a run asks for something else.

    Here and not in pyproject.toml: tests run without pytest-xdist and pytest-randomly as well.
    """
    if getattr(config.option, "dist", None) == "no":
        config.option.dist = "worksteal" if config.option.numprocesses else "no"
    if getattr(config.option, "randomly_seed", None) == "default":
        config.option.randomly_seed = SEED


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the lane, and keep what all processes of a run would make again."""
    gc.set_threshold(100_000, 20, 100)  # all that is imported and collected lives to the end
    lanes.choose(config)
    config.pluginmanager.register(_SlowOnesFirst())
    if config.getoption("--drawn"):
        drawn.of_run()  # before other processes of the run begin
    is_lane = _is_whole(config) and not config.option.keyword and not config.getoption("--drawn")
    lane = lanes.lane_of(config).value if is_lane else None
    config.pluginmanager.register(costs.Costs(lane, config.getoption("--costs")))
    _keep_compiled()
    _keep_in_memory()
    if hasattr(config, "workerinput"):
        atexit.register(_leave)
        _begin_elsewhere(config, **config.workerinput)


def pytest_report_header(config: pytest.Config) -> list[str]:
    is_fixed = lanes.lane_of(config) is lanes.Lane.DEFAULT
    seed = [] if is_fixed else [f"Using --hypothesis-seed={config.option.hypothesis_seed}"]
    return [*seed, *([str(drawn.of_run())] if config.getoption("--drawn") else [])]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import for a longer lane alone no module that has nothing of it."""
    is_module = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return (
        True
        if is_module and lanes.leaves_default_out(config) and not lanes.can_have_deep(collection_path)
        else None
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    lanes.mark_and_choose(config, items)


class _SlowOnesFirst:
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if config.getoption("--drawn"):  # syrupy has seen by now whose snapshots are left out
            drawn.leave_out(config, items)
        lanes.slow_ones_first(items, getattr(config, "workerinput", {}).get("workercount", 1))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests and modules live to the end: collecting garbage need not look at them each time."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """pytest has just collected garbage, to find what was left open: once is enough."""
    gc.freeze()


def _leave() -> None:
    """End a process of the run at once: its results are sent, and taking all down would take seconds."""
    os._exit(0)


def _keep_compiled() -> None:
    """Tests start hundreds of processes, and each would compile the product again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _begin_elsewhere(config: pytest.Config, *, workerid: str, workercount: int, **_: Any) -> None:
    """Let each process begin to collect with other modules: it finds compiled what others began with.

    The order in which tests run comes from the seed alone.
    """
    if not _is_whole(config) or not getattr(config.option, "randomly_reorganize", False):
        return
    whole = [config.rootpath / path for path in config.getini("testpaths")]
    modules = sorted(str(path) for folder in whole for path in folder.rglob("test_*.py"))
    first = len(modules) * int(workerid.removeprefix("gw")) // workercount
    config.args = [*modules[first:], *modules[:first]]


def _is_whole(config: pytest.Config) -> bool:
    """Whether all modules are collected, and not those that a run names."""
    whole = [config.rootpath / path for path in config.getini("testpaths")]
    return [config.rootpath / path for path in config.args] == whole


def _keep_in_memory() -> None:
    """Keep temporary files in memory where there is room for it: databases are copied by the thousand."""
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return
    offered = os.statvfs(memory)
    if offered.f_bavail * offered.f_frsize >= ROOM_IN_MEMORY and not offered.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for each core: tests wait for servers and screens, but each process collects them all."""
    return 2 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Databases:
    admin: Engine

    def copy(self, origin: str, name: str) -> None:
        """Make a database with all that another one has, which nobody may be using."""
        with self.admin.connect() as connection:
            connection.execute(
                text(f"CREATE DATABASE {name} TEMPLATE {origin} STRATEGY FILE_COPY OWNER {PLATFORM}")
            )
            connection.execute(text(f"GRANT CREATE ON DATABASE {name} TO {OPERATOR}"))

    def drop(self, name: str) -> None:
        with self.admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A PostgreSQL and an AWS endpoint with generated connections. Tests never change its database."""
    with Sandbox.start(connections=CONNECTIONS) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_left_in_aws(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test makes or changes in the shared sandbox's AWS is gone after it: the next finds no more."""
    if "sandbox" not in request.fixturenames:
        yield
        return
    control = request.getfixturevalue("sandbox").control
    control.bookmark()
    yield
    control.go_back()


@pytest.fixture
def world(sandbox: Sandbox) -> World:
    return sandbox.world


@pytest.fixture(scope="session")
def databases(sandbox: Sandbox) -> Iterator[Databases]:
    admin = open_engine(_as(sandbox.superuser_url, "postgres"))
    yield Databases(admin.execution_options(isolation_level="AUTOCOMMIT"))
    admin.dispose()


@pytest.fixture(scope="session")
def installed(sandbox: Sandbox, databases: Databases) -> str:
    """Name of a copy of the generated database in which Keydeck's schema is installed, to make copies of."""
    databases.copy("tokens", "installed")
    engine = open_engine(_as(sandbox.database_url, "installed"))
    install(engine)
    engine.dispose()
    return "installed"


@pytest.fixture
def database_url(sandbox: Sandbox, databases: Databases, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL for role operator of a copy of the generated database, dropped after the test.

    Keydeck's schema is in it for tests that ask for `services`.
    """
    origin = request.getfixturevalue("installed") if "services" in request.fixturenames else "tokens"
    name = f"copy_{uuid4().hex[:12]}"
    databases.copy(origin, name)
    yield _as(sandbox.database_url, name)
    databases.drop(name)


@pytest.fixture
def environment(
    sandbox: Sandbox, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """The process's environment points at the sandbox, the test's own database and its own events."""
    settings = point_at(sandbox, database_url, tmp_path, monkeypatch)
    sandbox.control.clear()
    yield settings
    sandbox.control.clear()


@pytest.fixture
def superuser(sandbox: Sandbox, database_url: str) -> Iterator[Engine]:
    """The test's own database as PostgreSQL's superuser, to set up what an operator can't."""
    engine = open_engine(_as(sandbox.superuser_url, str(make_url(database_url).database)))
    yield engine
    engine.dispose()


@pytest.fixture
def forge(superuser: Engine) -> Callable[..., None]:
    """Runs statements as a superuser who has switched the triggers off."""

    def execute(*statements: str) -> None:
        with superuser.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                connection.execute(text(statement))

    return execute


@pytest.fixture
def platform(sandbox: Sandbox, database_url: str) -> Iterator[Engine]:
    """The test's own database as the platform, who owns the tables and writes tokens."""
    engine = open_engine(_as(sandbox.platform_database_url, str(make_url(database_url).database)))
    yield engine
    engine.dispose()


@pytest.fixture
def stored(superuser: Engine) -> Callable[[TokenRef], str]:
    def read(ref: TokenRef) -> str:
        statement = text(f"SELECT {ref.column} FROM {ref.table} WHERE id::text = :id")
        with superuser.connect() as connection:
            return str(connection.scalar(statement, {"id": ref.row_id}))

    return read


@pytest.fixture
def services(environment: dict[str, str]) -> Iterator[Container]:
    """The services over the test's own database, Keydeck's schema installed."""
    container = Container(load().settings)
    try:
        require_schema(container.engine)
    except MissingSchemaError:  # a test has asked for this after the database
        install(container.engine)
    yield container
    container.close()


@pytest.fixture
def providers(sandbox: Sandbox) -> Iterator[ProviderControl]:
    """The sandbox's providers, where nothing is revoked and nothing goes wrong yet."""
    sandbox.providers.clear()
    yield sandbox.providers
    sandbox.providers.clear()


@pytest.fixture
def endpoints(providers: ProviderControl) -> Endpoints:
    return Endpoints(providers.urls)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that wait for KMS to come back do so for moments."""
    monkeypatch.setattr(bulk_engine, "PATIENCE_SECONDS", 0.5)


@pytest.fixture
def new_key(sandbox: Sandbox) -> Callable[[], str]:
    def create() -> str:
        metadata = sandbox.client("kms").create_key(Description="made by a test")["KeyMetadata"]
        return str(metadata["Arn"])

    return create


@dataclass(frozen=True, slots=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.stdout)


@pytest.fixture
def keydeck(environment: dict[str, str]) -> Callable[..., Ran]:
    return run_here


def run_here(*arguments: str) -> Ran:
    """Run the command in this process, without a terminal, where its environment points."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = run(list(arguments))
    return Ran(code, stdout.getvalue(), stderr.getvalue())


@dataclass(frozen=True, slots=True)
class ForReading:
    """A database that a module's tests share to read it, and the services with which it is made ready."""

    services: Container
    platform: Engine
    superuser: Engine

    def freeze(self) -> None:
        """Let nobody write into the database any more who does not ask PostgreSQL for it."""
        with self.superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            name = self.superuser.url.database
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        for engine in (self.services.engine, self.services.state_engine, self.platform, self.superuser):
            engine.dispose()  # sessions that are open would go on writing


@pytest.fixture(scope="module")
def for_reading(
    sandbox: Sandbox, databases: Databases, installed: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForReading]:
    """A copy of the generated database for all tests of a module, Keydeck's schema in it; see `freeze`."""
    name = f"shared_{uuid4().hex[:12]}"
    databases.copy(installed, name)
    urls = (sandbox.platform_database_url, sandbox.superuser_url)
    platform, superuser = (open_engine(_as(url, name)) for url in urls)
    with pytest.MonkeyPatch.context() as patch:
        url = _as(sandbox.database_url, name)
        point_at(sandbox, url, tmp_path_factory.mktemp("for-reading"), patch)
        services = Container(load().settings)
        yield ForReading(services, platform, superuser)
        services.close()
    platform.dispose()
    superuser.dispose()
    databases.drop(name)


@pytest.fixture
def reading(for_reading: ForReading) -> Iterator[Container]:
    """Services of the test's own over the database that its module shares."""
    container = Container(load().settings)
    yield container
    container.close()


def point_at(
    sandbox: Sandbox, database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    settings = sandbox.settings() | {
        "DATABASE_URL": database_url,
        "KEYDECK_EVENTS_FILE": str(folder / "events.sqlite"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    use_settings(settings, monkeypatch)
    return settings


def use_settings(settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process's environment have these settings of AWS, PostgreSQL and Keydeck, and no others."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "KEYDECK_", "PG")) or name in ("DATABASE_URL", "DEV_ENCRYPTION_KEY"):
            monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def _as(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)
