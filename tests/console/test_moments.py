"""Every command reads --since and --until alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import click
import pytest

from console.commands.moments import moment
from crypto_core.lists.filter_language import TIMES

COMMANDS = (
    ("events_list", "list_", ("since", "until")),
    ("events_pull", "pull", ("since", "until")),
    ("events_watch", "watch", ("since",)),
    ("findings", "findings", ("since", "until")),
    ("key_replacement", "replace", ("since",)),
)
TOOL = click.Command("tool")


def read(option: str, value: str) -> datetime | None:
    return moment(click.Context(TOOL), click.Option([f"--{option}"]), value)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("since", "2026-11-24", "2026-11-24T00:00:00+00:00"),
        ("until", "2026-11-24", "2026-11-24T23:59:59+00:00"),
        ("since", "2026-11-24T12:00", "2026-11-24T12:00:00+00:00"),
        ("until", "2026-11-24T12:00", "2026-11-24T12:00:00+00:00"),
        ("since", "2026-11-24T12:00+01:00", "2026-11-24T11:00:00+00:00"),
        ("since", "2026-11-24 12:00:00Z", "2026-11-24T12:00:00+00:00"),
        ("until", "9999-12-31", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_date_is_read_in_utc_or_with_its_offset(option: str, value: str, expected: str) -> None:
    assert read(option, value) == datetime.fromisoformat(expected)


@pytest.mark.parametrize("option", ["since", "until"])
def test_how_long_ago_is_counted_back_from_now(option: str) -> None:
    found = read(option, "2h")
    assert found is not None
    assert abs(datetime.now(UTC) - timedelta(hours=2) - found) < timedelta(minutes=1)


@pytest.mark.parametrize("option", ["since", "until"])
@pytest.mark.parametrize(
    "value", ["", " ", "2 h", "yesterday", "1h,2h", '"1h"', '2h" name:x "', "2026-13-01", "1h..2h", "\ud800"]
)
def test_what_is_no_time_is_refused_with_the_same_words(option: str, value: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        read(option, value)
    assert refused.value.message == f"{value!r} is not a valid time. {TIMES}"


@pytest.mark.parametrize(("module", "name", "options"), COMMANDS)
def test_every_command_has_its_moments_read_here(module: str, name: str, options: tuple[str, ...]) -> None:
    command = getattr(import_module(f"console.commands.{module}"), name)
    found = {param.name: param.callback for param in command.params}
    assert [found[option] for option in options] == [moment] * len(options)
