"""keydeck metrics: the census for Prometheus, on stdout or whole in a file."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from console.sandbox.endpoint.control import Denial
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import Format

Keydeck = Callable[..., Any]


def samples(exposition: str, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name by their labels' values, in the labels' order."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name
    }


def by_format(world: World) -> dict[tuple[str, ...], float]:
    return {(f.value,): float(n) for f, n in world.by_format.items()}


def kms_calls(sandbox: Sandbox) -> dict[tuple[str, ...], float]:
    calls = sandbox.control.stats().calls
    return {(name.removeprefix("kms:"),): n for name, n in calls.items() if name.startswith("kms:")}


def test_metrics_print_the_census_and_nothing_else(keydeck: Keydeck, world: World) -> None:
    begun = time.time()
    ran = keydeck("metrics")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert samples(ran.stdout, "keydeck_tokens") == by_format(world)
    assert set(samples(ran.stdout, "keydeck_tokens")) == {(f.value,) for f in Format}
    assert samples(ran.stdout, "keydeck_census_complete") == {(): 1}
    assert begun <= samples(ran.stdout, "keydeck_census_timestamp_seconds")[()] <= time.time()
    assert ran.stdout.endswith("\n")
    assert not ran.stdout.endswith("\n\n")


def test_metrics_count_the_kms_calls_of_their_own_run(keydeck: Keydeck, sandbox: Sandbox) -> None:
    before = kms_calls(sandbox)
    ran = keydeck("metrics")
    made = {name: n - before.get(name, 0) for name, n in kms_calls(sandbox).items() if n != before.get(name)}
    counted = samples(ran.stdout, "keydeck_kms_request_seconds_count")
    assert counted == made
    assert ("Decrypt",) in counted


def test_metrics_name_no_key_no_organisation_and_no_row(keydeck: Keydeck, world: World) -> None:
    printed = keydeck("metrics").stdout
    named = [
        "arn:",
        "alias/",
        *(key.key_id for key in (world.current_key, world.old_key)),
        *world.organisations,
        *(ref.row_id for ref in world.tokens if not ref.row_id.isdigit()),
        *(world.token_for(ref) for ref in world.plaintext_refs),
    ]
    assert [word for word in named if word in printed] == []


def test_hostile_rows_do_not_reach_the_exposition(keydeck: Keydeck, superuser: Engine, world: World) -> None:
    hostile = 'x"} 1\nkeydeck_tokens{format="v1"} 99 [/red]\x1b[31m'
    with superuser.begin() as connection:
        connection.execute(text("UPDATE gh_connection SET org_id = :h, id = id || :h"), {"h": hostile})
        connection.execute(text("UPDATE slack_connection SET bot_token = :h"), {"h": hostile})
    printed = keydeck("metrics").stdout
    assert "[/red]" not in printed
    assert "\x1b" not in printed
    assert sum(samples(printed, "keydeck_tokens").values()) == len(world.tokens)


def test_metrics_of_a_kms_that_refuses_say_that_they_are_not_whole_and_why(
    keydeck: Keydeck, sandbox: Sandbox, world: World
) -> None:
    sandbox.control.add_denial(Denial("*", "kms:Decrypt"))
    ran = keydeck("metrics")
    assert ran.exit_code == 0
    assert samples(ran.stdout, "keydeck_tokens") == by_format(world)
    assert samples(ran.stdout, "keydeck_census_complete") == {(): 0}
    assert samples(ran.stdout, "keydeck_kms_failures_total")["KmsAccessDeniedError", "Decrypt"] > 0
    assert "Not covered" in ran.stderr
    assert "kms:Decrypt" in ran.stderr


def test_a_file_is_written_instead_of_stdout_for_everybody_to_read(
    keydeck: Keydeck, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "keydeck.prom"
    umask = os.umask(0o077)
    try:
        ran = keydeck("metrics", "--output", str(file))
    finally:
        os.umask(umask)
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "")
    assert samples(file.read_text(), "keydeck_tokens") == by_format(world)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_replaced_at_once_under_those_who_read_it(keydeck: Keydeck, tmp_path: Path) -> None:
    file = tmp_path / "keydeck.prom"
    file.write_text("the one before\n")
    with file.open() as reader:
        assert keydeck("metrics", "--output", str(file)).exit_code == 0
        assert reader.read() == "the one before\n"
    assert file.read_text().startswith("# HELP keydeck_")


def test_the_unfinished_file_is_none_that_a_textfile_collector_reads(
    keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda f, t: (seen.append([p.name for p in tmp_path.iterdir()]), replace(f, t))[1]
    )
    assert keydeck("metrics", "--output", str(tmp_path / "keydeck.prom")).exit_code == 0
    assert len(seen) == 1
    assert len(seen[0]) == 1
    assert not seen[0][0].endswith(".prom")


@pytest.mark.parametrize(
    ("output", "says"),
    [("nowhere/keydeck.prom", "There is not a folder"), (".", "is not a file"), ("pipe", "is not a file")],
)
def test_an_output_that_can_not_be_a_file_exits_2_before_anything_is_asked(
    keydeck: Keydeck, sandbox: Sandbox, tmp_path: Path, output: str, says: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = kms_calls(sandbox)
    ran = keydeck("metrics", "--output", str(tmp_path / output))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert str(tmp_path) in ran.stderr.replace("\n", "")
    assert kms_calls(sandbox) == before
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_disk_that_is_full_exits_3_and_leaves_the_file_before(
    keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keydeck.prom"
    file.write_text("the one before\n")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    ran = keydeck("metrics", "--output", str(file))
    assert (ran.exit_code, ran.stdout) == (3, "")
    assert f"{file} can't be written: No space left on device." in ran.stderr
    assert file.read_text() == "the one before\n"
    assert list(tmp_path.iterdir()) == [file]
