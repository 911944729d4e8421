"""Estates: each is asked on its own, none that fails hides another, and environments share no key unseen."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from console.capabilities import OWN_SETTINGS, not_installed
from console.commands.estate_options import estate_option
from console.commands.output_options import rows_option
from console.container import Container
from console.estates import DEFAULT, SHARED, estate_named, estates_of
from console.estates_overview import look_at, shared_keys
from console.printed.forms import Form
from console.sandbox.world import World
from console.setting_parts import OF_A_DATABASE, OF_AN_ENVIRONMENT, DatabaseSettings, EstateSettings
from console.settings import Settings, load
from crypto_core.database.connection.urls import masked_url
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from screens.estate_status import EstateStanding
from tests.console.command_types import Keydeck

GONE = "postgresql://nobody:Sw0rdfish@127.0.0.1:9/tokens"


@pytest.fixture
def estates(services: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The sandbox as the settings have it, the same again as another environment, and one that is gone."""
    url = services.settings.required_database_url()
    path = tmp_path / "settings.toml"
    path.write_text(
        f"""
        [databases]
        copy = {json.dumps(url)}
        [estates.stage]
        database = "copy"
        environment = "stage"
        environment_colour = "green"
        [estates.gone]
        database_url = "{GONE}"
        profile = ""
        """
    )
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    monkeypatch.setenv("KEYDECK_ENVIRONMENT", "prod")
    return url


def test_every_estate_is_asked_and_a_key_of_two_environments_is_told(
    keydeck: Keydeck, estates: str, world: World
) -> None:
    ran = keydeck("estates", "--json")
    assert ran.exit_code == 1
    found = {one["estate"]: one for one in ran.json["estates"]}
    assert list(found) == [DEFAULT, "stage", "gone"]
    assert [found[name]["environment"] for name in found] == ["prod", "stage", "gone"]
    assert found[DEFAULT]["tokens"] == found["stage"]["tokens"] == len(world.tokens)
    assert found["gone"]["tokens"] is None
    assert found["gone"]["trouble"]
    (shared,) = (one for one in ran.json["shared_keys"] if one["key_arn"] == world.current_key.arn)
    assert shared["estates"] == [DEFAULT, "stage"]
    text = keydeck("estates")
    assert "give each environment its own key" in text.stderr
    shown = keydeck("settings").stdout + text.stdout + text.stderr + json.dumps(ran.json)
    assert "Sw0rdfish" not in shown
    assert masked_url(estates) in shown


@pytest.mark.deep
def test_a_command_answers_for_one_estate_or_for_each(
    keydeck: Keydeck, estates: str, world: World, tmp_path: Path
) -> None:
    alone = keydeck("status", "--json").json
    assert keydeck("status", "--estate", "stage", "--json").json["by_format"] == alone["by_format"]
    every = keydeck("status", "--estate", "all", "--json")
    assert every.exit_code == 3
    assert {name: one and one["tokens"] for name, one in every.json.items()} == {
        DEFAULT: len(world.tokens),
        "stage": len(world.tokens),
        "gone": None,
    }
    assert every.stderr.startswith("gone: ")
    few = ("connections", "--filter", "provider:slack", "--limit", "2", "--estate", "all")
    rows = [json.loads(row) for row in keydeck(*few, "--output", "jsonl").stdout.splitlines()]
    assert [row["estate"] for row in rows] == [DEFAULT, DEFAULT, "stage", "stage"]
    table = list(csv.DictReader(io.StringIO(keydeck(*few, "--csv").stdout)))
    assert [row["estate"] for row in table] == [row["estate"] for row in rows]
    assert [row["reference"] for row in table] == [row["reference"] for row in rows]
    yaml = keydeck(*few, "--output", "yaml").stdout
    assert yaml.startswith(f'"{DEFAULT}":\n  ')
    assert '"gone":\n  null\n' in yaml
    assert "Estate stage" in keydeck("check", "--estate", "all").stdout
    assert set(keydeck("findings", "--estate", "all", "--json").json) == {DEFAULT, "stage", "gone"}
    with (tmp_path / "settings.toml").open("a") as file:
        file.write(f'\n[estates.pink]\ndatabase_url = "{GONE}"\nenvironment_colour = "pink"\n')
    wrong = keydeck("status", "--estate", "all", "--json")
    assert (wrong.exit_code, wrong.json["pink"], wrong.json["stage"] is None) == (3, None, False)
    assert "Estate pink, environment_colour: " in wrong.stderr


def test_rows_of_estates_are_printed_one_by_one_and_none_as_nothing(
    estates: str, keydeck: Keydeck, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []

    @click.command()
    @estate_option
    @rows_option
    def numbers(*, form: Form) -> None:
        for number in range(2):
            click.echo(f'{{"n": {number}}}')
            printed.append(capsys.readouterr().out)

    numbers(["--estate", "all", "--output", "jsonl"], standalone_mode=False)
    assert printed == [
        f'{{"estate": "{name}", "n": {n}}}\n' for name in (DEFAULT, "stage", "gone") for n in (0, 1)
    ]
    none = keydeck("connections", "--filter", "id:nowhere", "--output", "jsonl", "--estate", "all")
    assert none.stdout == ""


def test_an_estate_that_is_none_is_refused_and_so_is_what_has_no_form_for_several(
    keydeck: Keydeck, estates: str
) -> None:
    ran = keydeck("status", "--estate", "stag")
    assert ran.exit_code == 2
    assert "Did you mean stage?" in ran.stderr
    for arguments in (("findings", "--estate", "all", "--ocsf"), ("findings", "--estate", "all", "rules")):
        assert keydeck(*arguments).exit_code == 2


def test_an_estate_brings_its_own_and_leaves_the_rest(estates: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        path.read_text()
        + """
        [estates.eu]
        database_url = "postgresql://eu@db.example/tokens"
        profile = "eu"
        regions = ["eu-central-1"]
        write_key = "alias/eu"
        trusted_keys = ["alias/eu-old"]
        events_file = "/var/lib/keydeck/eu.sqlite"
        """
    )
    found = estates_of(load().settings)
    eu = found["eu"]
    assert (eu.profile, eu.regions, eu.write_key, eu.trusted_keys) == (
        *("eu", ("eu-central-1",)),
        *("alias/eu", ("alias/eu-old",)),
    )
    assert (eu.environment, eu.environment_colour, eu.binding) == ("eu", "", None)
    assert eu.write_format == found[DEFAULT].write_format
    # Under another environment's key, or in its journal, nothing is written by default.
    gone = found["gone"]
    assert found[DEFAULT].write_key == found["stage"].write_key is not None
    assert (gone.write_key, gone.write_alias, gone.trusted_keys, gone.state_url) == (None, "", (), None)
    assert (eu.events_file, Path(gone.events_file).name) == (
        "/var/lib/keydeck/eu.sqlite",
        "events-gone.sqlite",
    )
    assert "copy" not in found
    for wrong in ("", 'database = "copy"\ndatabase_url = "postgresql://x@y/z"', 'database = "nowhere"'):
        path.write_text(f"[estates.x]\n{wrong}\n")
        with pytest.raises(Exception, match=r"database_url|nowhere"):
            estate_named(load().settings, "x")


def test_every_setting_says_whether_another_database_inherits_it() -> None:
    """A new setting belongs into one of the tables, and one that isn't shared can be named by an estate."""
    listed = Counter([*OF_A_DATABASE, *OF_AN_ENVIRONMENT, *SHARED])
    gone = (name for name in OWN_SETTINGS if not_installed(name, "Setting"))
    assert listed == Counter(dict.fromkeys((*Settings.model_fields, *gone), 1))


KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
UNTIL = "2026-01-01T00:00:00Z"
GIVEN: dict[str, object] = {
    **dict.fromkeys(("write_key", "write_alias"), "alias/given"),
    **dict.fromkeys(("trusted_keys", "retired_keys", "signing_key"), ("alias/given",)),
    "administrators": ("arn:aws:iam::123456789012:role/given",),
    "trusted_accounts": ("123456789012",),
    "approvals_key": KEY,
    "receipts": "table",
    "anchor_bucket": "s3://given",
    "athena_output": "s3://given",
    "athena_table": "given.events",
    "former_signing_keys": {"alias/former": datetime(2026, 1, 1, tzinfo=UTC)},
    "receipts_complete_since": datetime(2026, 1, 1, tzinfo=UTC),
    "environment_colour": "red",
}


@pytest.mark.parametrize("name", sorted((OF_A_DATABASE | OF_AN_ENVIRONMENT) - {"database_url"}))
def test_no_estate_inherits_what_belongs_to_another_and_each_can_name_its_own(name: str) -> None:
    is_tuple = isinstance(Settings.model_fields[name].default, tuple)
    of_default = GIVEN.get(name, ("default",) if is_tuple else "default")
    own = GIVEN.get(name, ("own",) if is_tuple else "own")
    settings = Settings().model_copy(
        update={
            name: of_default,
            "databases": {"beside": DatabaseSettings(url=GONE)},
            "estates": {
                "elsewhere": EstateSettings(database_url=GONE),
                "beside-it": EstateSettings(database="beside"),
                "named": EstateSettings.model_validate({"database_url": GONE, name: own}),
            },
        }
    )
    found = estates_of(settings)
    unset = Settings.model_fields[name].get_default(call_default_factory=True)
    elsewhere = getattr(found["elsewhere"], name)
    if name == "environment":
        assert elsewhere == "elsewhere"
    elif name == "events_file":
        assert elsewhere.endswith("events-elsewhere.sqlite")
    else:
        assert elsewhere == unset
    of_database = OF_A_DATABASE | {"environment", "environment_colour"}
    assert (getattr(found["beside-it"], name) == of_default) is (name not in of_database)
    assert getattr(found["named"], name) == own


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"write_key": KEY, "approvals_key": KEY}, "tokens are sealed under this key"),
        ({"write_key": "gar bage"}, "write_key: Not a KMS key"),
        ({"former_signing_keys": {"ghp_a secret of 20 or more": UNTIL}}, "former_signing_keys: Not a KMS"),
        ({"binding": "ü ü"}, "binding: .*printable ASCII"),
        ({"write_alias": "tokens"}, "write_alias"),
        ({"anchor_bucket": "nope"}, "anchor_bucket"),
        ({"athena_table": "x"}, "athena_table"),
        ({"receipts": "tabel"}, "receipts"),
        ({"administrators": ["me"]}, "administrators"),
        ({"trusted_accounts": ["12"]}, "trusted_accounts"),
        ({"signing_key": ["alias/s"], "former_signing_keys": {"alias/s": UNTIL}}, "is a signing key"),
        ({"nonsense": "x"}, "'nonsense' is not a setting of an estate"),
    ],
)  # fmt: skip
def test_a_setting_of_an_estate_is_validated_as_elsewhere(
    wrong: dict[str, object], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    lines = [f"{name} = {json.dumps(value).replace(': ', ' = ')}" for name, value in wrong.items()]
    path.write_text("\n".join(["[estates.x]", f'database_url = "{GONE}"', *lines]))
    monkeypatch.setenv("KEYDECK_SETTINGS", str(path))
    with pytest.raises(SettingsError, match=says) as refused:
        estate_named(load().settings, "x")
    assert "x" in refused.value.message
    assert "secret" not in str(refused.value)


def test_an_estate_with_a_wrong_setting_hides_no_other() -> None:
    settings = Settings().model_copy(
        update={"databases": {"copy": DatabaseSettings(url=GONE)}, "binding": "a", "write_format": "v2-bound"}
    )
    found = estates_of(settings.model_copy(update={"database_url": GONE}))
    assert (list(found), isinstance(found[DEFAULT], Settings)) == ([DEFAULT, "copy"], True)
    (standing,) = look_at({"copy": found["copy"]})
    assert standing.trouble.startswith("Estate copy, write_format: v2-bound envelopes name their database")
    assert "Sw0rdfish" not in str(found["copy"])


def test_replicas_are_one_key_and_one_environment_may_share_its_own() -> None:
    replica = "arn:aws:kms:{}:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"
    plain = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

    def standing(name: str, environment: str, *keys: str) -> EstateStanding:
        return EstateStanding(clean(name), clean(environment), datetime.now(UTC), keys=keys)

    found = shared_keys(
        (
            standing("a", "prod", replica.format("eu-west-1"), plain),
            standing("b", "prod", plain),
            standing("c", "stage", replica.format("us-east-1")),
        )
    )
    assert [(one.key_arn, one.estates) for one in found] == [(replica.format("eu-west-1"), ("a", "c"))]
