"""keydeck watch: a service in the foreground that does what is to be done at intervals."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta
from importlib import metadata, resources
from threading import Thread
from typing import TYPE_CHECKING

import click

from console.capabilities import manifests
from console.commands.session import loaded
from console.extras import missing_modules
from console.own_folders import this_command
from console.printed.output import say
from crypto_core.lists.filter_language import how_long
from crypto_core.values.typed_names import meant

if TYPE_CHECKING:
    from console.service.settings import NotifySettings
    from console.service.watcher import Watcher

PORT = 9464
"""Prometheus's port for OpenMetrics exporters."""
NAMES = ("pull", "findings", "census", *(name for one in manifests() for name in one.duties), "notices")
GRACE_SECONDS = 1.5
"""How long duties have to end after a signal."""
_ENDING = {signal.SIGTERM, signal.SIGINT}
_PRINTED = {"systemd": "unit", "kubernetes": "manifest"}


def _intervals(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for value in values:
        name, _, period = value.partition("=")
        length = timedelta(0) if period in ("0", "never") else how_long(period)
        if name not in NAMES:
            raise click.BadParameter(f"Duties: {', '.join(NAMES)}. {meant(name, NAMES)}".rstrip())
        if length is None:
            raise click.BadParameter("Use a form such as census=2h, or census=never.")
        found[name] = length.total_seconds()
    return found


@click.command()
@click.option(
    "--every",
    multiple=True,
    callback=_intervals,
    metavar="DUTY=DURATION",
    help=f"Another interval of a duty ({', '.join(NAMES)}): census=2h, pull=never; repeatable.",
)
@click.option(
    "--from",
    "source",
    type=click.Choice(["lookup", "s3"]),
    default="lookup",
    show_default=True,
    help="Where events are fetched from.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address that metrics are on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 for a free one."
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME[:PORT]",
    help="A name under which others reach the metrics, beside addresses; repeatable.",
)
@click.option("--once", is_flag=True, help="Do each duty once and end; no metrics over HTTP.")
@click.option("--print-unit", type=click.Choice(["systemd"]), help="Print a systemd unit for this, and end.")
@click.option("--print-manifest", type=click.Choice(["kubernetes"]), help="Print a manifest, and end.")
def watch(
    *,
    every: dict[str, float],
    source: str,
    host: str,
    port: int,
    names: tuple[str, ...],
    once: bool,
    print_unit: str | None,
    print_manifest: str | None,
) -> int:
    """Fetch events, look for findings, count tokens, record evidence, notify; each at its interval.

    Runs until SIGTERM or Ctrl-C, with exit code 0. Of several hosts one watches, and the others stand by.
    What fails is tried again, later each time: see /metrics, /ready and /health on the address. Where the
    database role may only read, no notifications are sent. With --once: exit code 3 if a duty fails.
    """
    given = [f"--every={name}={int(seconds)}s" for name, seconds in every.items()]
    given += [f"--name={name}" for name in names]
    given += [] if source == "lookup" else [f"--from={source}"]
    if print_unit is not None:
        click.echo(_systemd_unit(["watch", *given, f"--host={host}", f"--port={port}"]), nl=False)
        return 0
    if print_manifest is not None:
        arguments = ["watch", *given, "--host=0.0.0.0", f"--port={port or PORT}"]
        click.echo(_kubernetes_manifest(arguments, port or PORT), nl=False)
        return 0
    return _watch(every, source, None if once else (host, port), names)


def _systemd_unit(arguments: Sequence[str]) -> str:
    # In a unit a percent sign begins a specifier.
    command = shlex.join([this_command(), *arguments]).replace("%", "%%")
    return _text("keydeck-watch.service").replace("{command}", command)


def _kubernetes_manifest(arguments: Sequence[str], port: int) -> str:
    return _text("keydeck-watch.yaml").format(
        version=metadata.version("keydeck"), arguments=json.dumps(list(arguments)), port=port
    )


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _watch(
    every: dict[str, float], source: str, address: tuple[str, int] | None, names: Sequence[str]
) -> int:
    from console.container import Container
    from console.files.logfile import logging_to
    from console.service.duties import DUTIES, DutyWork
    from console.service.http_server import serving
    from console.service.settings import ServiceSettings
    from console.service.watch_metrics import WatchMetrics
    from console.service.watcher import Watcher, chosen_duties
    from crypto_core.metrics import Metrics
    from crypto_core.values.cancellation import Cancellation

    settings = loaded().settings
    told = ServiceSettings.of(settings).notify
    told.built("")  # what is wrong with it is said now
    telling = _may_tell(told)
    core, stop = Metrics(), Cancellation()
    duties = chosen_duties([one for one in DUTIES if telling or not one.tells], every)
    metrics = WatchMetrics(core.registry, {duty.name: seconds for duty, seconds in duties.items()})
    logging = logging_to(settings) if settings.log_file else nullcontext()
    with logging, closing(Container(settings, observer=core)) as services:
        work = DutyWork(services, metrics, core, stop, telling, source)
        watcher = Watcher(duties, work, services.state_engine, say)
        if address is None:
            return 0 if watcher.run_once() else 3
        with _held_back(), serving(*address, core.registry, metrics, names) as url:
            say(f"Metrics: {url}/metrics. {', '.join(f'{d.name} every {s:g} s' for d, s in duties.items())}.")
            _run_until_told(watcher, stop.set)
    return 0


def _may_tell(told: NotifySettings) -> bool:
    """Whether notifications can be sent at all; says why not where it is meant to be so."""
    if not told.receivers:
        return False
    if missing_modules("notify"):
        say("No notifications are sent: extra notify is not installed (pip install 'keydeck[notify]').")
        return False
    return True


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold back what ends the service, for every thread that is begun from now on, unless it fails."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise


def _run_until_told(watcher: Watcher, stop: Callable[[], None]) -> None:
    """Run until a signal comes; what then hangs is not waited for."""
    running = Thread(target=watcher.run, name="keydeck-watch", daemon=True)
    running.start()
    signal.sigwait(_ENDING)
    say("Stopping.")
    Thread(target=_insist, daemon=True).start()
    stop()
    running.join(GRACE_SECONDS)


def _insist() -> None:
    time.sleep(GRACE_SECONDS + 0.5)
    sys.stderr.flush()
    os._exit(0)
