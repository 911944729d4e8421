"""keydeck scan says of dumps what their database says of itself, and shows no value."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from console.sandbox.postgres_files import PostgresFiles
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import parse
from crypto_core.values.errors import EnvelopeError
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape
from tests.crypto_core.forensics.copies.values import TOKEN, dev, v1, v2

FORMATS = {
    "plain.sql": ("--format=plain",),
    "inserts.sql": ("--format=plain", "--inserts"),
    "compressed.sql.gz": ("--format=plain", "--compress=6"),
    "custom.dump": ("--format=custom",),
    "uncompressed.dump": ("--format=custom", "--compress=0"),
    "tar.dump": ("--format=tar",),
    "folder": ("--format=directory",),
}


@pytest.fixture
def dump(superuser: Engine, tmp_path: Path) -> Callable[..., Path]:
    """Dump the test's database with pg_dump itself, in one of its formats."""

    def make(form: str, *more: str, to: str = "") -> Path:
        path = tmp_path / (to or form)
        url = superuser.url.set(drivername="postgresql").render_as_string(hide_password=False)
        program = PostgresFiles.installed().program("pg_dump")
        subprocess.run(
            [program, *FORMATS[form], *more, f"--file={path}", url], check=True, capture_output=True
        )
        return path

    return make


def _stored(reading: Connection, world: World) -> list[str]:
    columns = {(ref.table, ref.column) for ref in world.tokens}
    return [
        str(value)
        for table, column in columns
        for value in reading.scalars(text(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"))
    ]


def _truth(values: list[str]) -> Counter[str]:
    """What is stored, counted one by one."""
    counts: Counter[str] = Counter()
    for value in values:
        if value.startswith("djF8"):
            try:
                counts[(parse(value).edk_prefix or b"").hex()] += 1
            except EnvelopeError:
                counts["damaged"] += 1
        elif value.startswith("ZGV2f"):
            counts["dev"] += 1
        elif value.startswith("xoxb-"):
            counts["slack"] += 1
        elif value.startswith("ATATT3"):
            counts["atlassian"] += 1
    return counts


def _counted(copy: dict[str, Any]) -> Counter[str]:
    counts = Counter({one["kind"]: one["values"] for one in copy["exposed"]})
    for need in copy["keys"]:
        counts[need["edk_prefix"]] += need["envelopes"]
    counts["damaged"] = copy["damaged"]
    return counts


def test_every_form_of_a_dump_counts_as_its_database_does(
    dump: Callable[..., Path], keydeck: Keydeck, superuser: Engine, world: World
) -> None:
    with superuser.connect() as reading:
        truth = _truth(_stored(reading, world))
    ran = keydeck("scan", "--json", *(str(dump(form)) for form in FORMATS))
    assert ran.exit_code == 1
    assert_shape("scan", ran.json)
    for copy in ran.json["copies"]:
        assert _counted(copy) == truth, copy["path"]
        assert copy["problems"] == []
        keys = {need["key_arn"]: need["key_state"] for need in copy["keys"]}
        assert keys == {world.current_key.arn: "Enabled", world.old_key.arn: "Enabled"}
        assert {need["evidence"] for need in copy["keys"]} == {"inferred"}
        assert copy["opened_by"]["whoever may call Decrypt"] == copy["envelopes"] == copy["distinct"]
        lost = {one["key_arn"]: one["envelopes"] for one in copy["lost_with"]}
        assert sum(lost.values()) == copy["envelopes"]


@pytest.mark.deep
def test_dumps_taken_during_a_reencryption_count_as_their_snapshots_do(
    dump: Callable[..., Path], keydeck: Keydeck, services: Any, superuser: Engine, world: World
) -> None:
    """Each dump is of the snapshot in which the truth is counted, while a run rewrites the tokens."""
    command = (sys.executable, "-m", "console", "reencrypt", "--from", world.old_key.arn)
    rest = ("--to", world.current_key.arn, "--rate", "12", "--yes")
    snapshots = create_engine(superuser.url, isolation_level="REPEATABLE READ", poolclass=NullPool)
    seen, forms = set[str](), ("plain.sql", "custom.dump", "folder")
    with subprocess.Popen((*command, *rest), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while len(seen) < 4:
            ended = run.poll() is not None
            with snapshots.connect() as reading:
                snapshot = reading.scalar(text("SELECT pg_export_snapshot()"))
                replaced = reading.scalars(text("SELECT envelope FROM keydeck.envelope_backup")).all()
                truth = _truth([*_stored(reading, world), *map(str, replaced)])
                if repr(sorted(truth.items())) in seen and not ended:
                    continue
                path = dump(forms[len(seen) % 3], f"--snapshot={snapshot}", to=f"{len(seen)}")
            (copy,) = keydeck("scan", "--json", "--offline", str(path)).json["copies"]
            assert _counted(copy) == truth, path
            seen.add(repr(sorted(truth.items())))
            assert not ended or len(seen) >= 4
        run.terminate()


def test_by_the_states_of_keys_it_says_who_can_open_what(
    keydeck: Keydeck, services: Any, sandbox: Sandbox, world: World, dump: Callable[..., Path]
) -> None:
    assert keydeck("status", "--json").exit_code == 0  # KMS's answers are remembered
    path = str(dump("plain.sql"))
    before = keydeck("scan", path, "--json").json["copies"][0]
    old = sum(n["envelopes"] for n in before["keys"] if n["key_arn"] == world.old_key.arn)
    assert old
    kms = sandbox.client("kms")
    kms.disable_key(KeyId=world.old_key.key_id)
    (copy,) = keydeck("scan", path, "--json").json["copies"]
    assert copy["opened_by"]["nobody now"] == old
    assert copy["opened_by"]["whoever may call Decrypt"] == copy["envelopes"] - old
    assert copy["opened_by"]["anybody"] == sum(one["values"] for one in copy["exposed"])
    kms.schedule_key_deletion(KeyId=world.old_key.key_id)
    printed = keydeck("scan", path).stdout
    assert f"{old} can't be opened now: their keys are disabled or wait for deletion." in printed
    assert f"Without {world.old_key.alias}: {old} envelopes can't be opened." in printed


def test_offline_nobody_is_asked_and_v2_names_its_key(keydeck: Keydeck, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(v1() + b"\n" + v2() + b"\n")
    ran = keydeck("scan", "--offline", "--json", str(tmp_path / "a"))
    assert ran.exit_code == 0
    evidence = {need["evidence"]: need for need in ran.json["copies"][0]["keys"]}
    assert set(evidence) == {"unknown", "named"}
    assert evidence["named"]["key_arn"].endswith("1234567890ab")
    assert ran.json["offline"] is True
    assert ran.json["copies"][0]["opened_by"]["not known"] == 2


def test_without_a_database_it_works_all_the_same(
    keydeck: Keydeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "a").write_bytes(v1())
    assert keydeck("scan", "--offline", str(tmp_path / "a")).exit_code == 0
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:no@127.0.0.1:1/none")
    ran = keydeck("scan", "--offline", str(tmp_path / "a"), "--json")
    assert ran.exit_code == 0
    assert any("remembered" in reason for reason in ran.json["copies"][0]["coverage"]["reasons"])


def test_rows_are_groups_and_names_are_clean(keydeck: Keydeck, tmp_path: Path) -> None:
    evil = tmp_path / "a\x1b[2J[red]\u202e"
    evil.write_bytes(gzip.compress(v1() + b"\n" + dev() + b"\n" + TOKEN + b"\n")[:-20])
    ran = keydeck("scan", "--offline", "--csv", str(evil))
    assert ran.exit_code == 1
    assert [row.split(",")[1] for row in ran.stdout.splitlines()][:2] == ["kind", "v1"]
    for form in ((), ("--json",), ("--csv",)):
        ran = keydeck("scan", "--offline", *form, str(evil))
        for shown in (ran.stdout, ran.stderr):
            assert "\x1b" not in shown
            assert "\u202e" not in shown


def test_no_value_is_shown_whatever_is_wrong(keydeck: Keydeck, tmp_path: Path) -> None:
    values = [v1(), v2(), dev(), TOKEN]
    (tmp_path / "a").write_bytes(b"\n".join(values) + b"\n" + values[0][:300] + b"\n")
    for form in ((), ("--json",), ("--csv",), ("--output", "yaml")):
        ran = keydeck("scan", *form, str(tmp_path))
        for value in values:
            for shown in (ran.stdout, ran.stderr):
                assert value[:24].decode() not in shown
        assert "Canary0" not in ran.stdout + ran.stderr


def test_what_is_not_there_is_refused_and_a_broken_file_is_not_well(keydeck: Keydeck, tmp_path: Path) -> None:
    assert keydeck("scan", str(tmp_path / "none")).exit_code == 2
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 5_000)[:-4])
    ran = keydeck("scan", "--offline", str(tmp_path))
    assert ran.exit_code == 1
    assert "a.gz" in ran.stderr
    assert "cut short" in ran.stderr
