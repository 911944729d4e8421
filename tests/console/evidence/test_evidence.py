"""keydeck evidence status: the sandbox's plaintext tokens fail controls, with the counts of status."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from console.container import Container
from console.evidence.services import EvidenceServices
from console.evidence.status import _code, _listing, _text
from console.printed.forms import Form
from console.printed.lists import print_listing
from console.sandbox.world import World
from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.assessment import Assessment, assess
from crypto_core.compliance.control import Exemption
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.period.open_points import open_points
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.values.clean_text import clean
from screens.compliance.grid import ControlRow, ControlState, control_state
from screens.compliance.heat_map import HeatMap
from tests.console.command_types import Keydeck
from tests.console.shapes import assert_shape
from tests.console.test_shell import console
from tests.crypto_core.compliance.snapshots import NOW, SNAPSHOT
from tests.crypto_core.compliance.test_control_tests import tokens
from tests.screens.deck import Deck


@pytest.mark.deep
async def test_a_record_that_is_made_is_shown_with_its_evidence(services: Container) -> None:
    async with console(services.services, start="compliance") as d:
        await d.until(lambda: "as measured now" in d.text())
        assert "No record yet: keydeck evidence record makes one" in d.text()
        assert _states(d)["pci-3.5.1"] is ControlState.NOT_MET
        made = services.of(EvidenceServices).evidence_recorder.record_day().record
        await d.press("r")
        await d.until(lambda: "the chain is whole; 1 record not signed" in d.text())
        judged = assess(services.of(EvidenceServices).controls.read(), made.snapshot).judgements
        assert _states(d) == {
            one.control.id: control_state(one.status, asked=bool(one.control.tests)) for one in judged
        }
        await d.press("enter")
        await d.until(lambda: "the first record" in d.text())
        assert made.digest.hex() in d.text()
        await d.press("escape", "o")
        await d.until(lambda: "open points" in d.text())
        told = {one.what for one in open_points(services.of(EvidenceServices).periods.of(made.day, made.day))}
        assert "1 record not signed: 1. Set KEYDECK_SIGNING_KEY." in told
        assert "Not met since" in d.text()


def _states(d: Deck) -> dict[str, ControlState]:
    rows = d.app.screen.query_one(HeatMap).rows
    return {row.control.id: row.latest for row in rows if isinstance(row, ControlRow)}


EXCEPTION = """
id = "house"
version = 1
[[exception]]
control = "soc2-cc6.1"
reason = "Moves in March."
by = "CISO"
until = 9999-12-31
"""


def test_plaintext_tokens_fail_the_controls_about_them_with_the_counts_of_status(
    keydeck: Keydeck, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "events").write_text("no store at all")
    (tmp_path / "house.toml").write_text(EXCEPTION)
    monkeypatch.setenv("KEYDECK_EVENTS_FILE", str(tmp_path / "events"))
    monkeypatch.setenv("KEYDECK_CONTROLS", str(tmp_path / "house.toml"))
    assert keydeck("init").exit_code == 0
    ran = keydeck("evidence", "status", "--json")
    assert (ran.exit_code, ran.json["troubles"]) == (1, [])
    counted = keydeck("status", "--json").json
    found = {control["control"]: control for control in ran.json["controls"]}
    for control in found.values():
        assert_shape("control", control)
    assert sum(ran.json["counts"].values()) == len(found)

    plaintext = counted["by_format"]["plaintext"]
    assert plaintext == len(world.plaintext_refs) > 0
    for name in ("asvs-v14.2.4", "pci-3.5.1", "iso-a.8.24", "nist-sc-28", "owasp-storage-separation"):
        assert found[name]["words"] == "not met", name
        (answer,) = (one for one in found[name]["tests"] if one["test"] == "tokens-encrypted")
        assert f"{plaintext:,} of {counted['tokens']:,} tokens in format plaintext" in answer["lines"]
    assert found["soc2-cc6.1"]["words"] == "not met, excepted until 9999-12-31: Moves in March."

    # The keys, and what can't be read or has not been measured.
    rotates = {one["test"]: one for one in found["pci-3.7.4"]["tests"]}
    assert rotates["material-young"]["status"] == "not met"
    (access,) = (one for one in found["asvs-v13.3.2"]["tests"] if one["test"] == "key-access-known")
    assert any("alias/tokens" in line for line in access["lines"])
    assert found["pci-10.4.1"]["status"] == "not assessed"
    assert found["pci-10.4.1"]["tests"][0]["lack"] == "could not be read"
    assert found["pci-12.10.6"]["reason"] == "nothing measured: no closed incident is on record"
    assert found["pci-10.6.1"]["status"] == "met"
    for action in ("tokens", "keys"):  # no part is missing unasked
        assert not any(f"not measured: {action}" in str(control) for control in found.values())


def test_a_framework_that_there_is_none_of_is_refused_with_what_may_be_meant(keydeck: Keydeck) -> None:
    ran = keydeck("evidence", "status", "--framework", "soc")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "No catalogue has framework 'soc'. Did you mean soc2?" in ran.stderr


def printed(found: Assessment, form: Form, capsys: pytest.CaptureFixture[str]) -> str:
    print_listing(_listing(found), form)
    return capsys.readouterr().out


def test_text_has_the_worst_first_with_its_evidence_and_csv_a_row_for_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    controls = ControlLibrary().read()
    found = assess(controls, tokens(v1=2_060, plaintext=40), "pci")
    lines = printed(found, Form.TABLE, capsys).splitlines()
    assert lines[0].startswith("1 not met, 27 met, 4 not Keydeck's to say, ")
    assert lines[2].startswith("pci: PCI DSS 4.0.1: 1 not met, ")
    assert lines[3:7] == [
        "  ✖ 3.5.1 Stored data is unreadable",
        "      not met",
        "      ✖ tokens-encrypted: 40 of 2,100 tokens in format plaintext",
        "        2,060 of 2,100 tokens in an envelope that only KMS opens",
    ]
    assert "  - 3.7.6 Cleartext key operations need two people" in lines
    rows = list(csv.DictReader(io.StringIO(printed(found, Form.CSV, capsys))))
    assert len(rows) == len(found.judgements)
    assert (rows[0]["number"], rows[0]["status"]) == ("3.5.1", "not met")
    assert json.loads(rows[0]["tests"])[0]["test"] == "tokens-encrypted"


def test_the_exit_code_is_that_of_the_worst_that_nobody_excepted() -> None:
    controls = ControlLibrary().read()
    wrong = tokens(v1=2_060, plaintext=40)
    assert _code(assess(controls, SNAPSHOT)) == 0
    assert _code(assess(controls, wrong)) == 1
    failing = [one.control.id for one in assess(controls, wrong).judgements if one.fails]

    def excepted(days: int) -> Assessment:
        until = (NOW + timedelta(days=days)).date()
        granted = {one: Exemption(clean(one), clean("Why."), clean("CISO"), until) for one in failing}
        return assess(type(controls)(controls.catalogues, controls.controls, granted), wrong)

    assert _code(excepted(0)) == 0
    assert _code(excepted(-1)) == 1
    assert excepted(0).count(ControlStatus.NOT_MET) == len(failing)
    first = next(iter(_text(excepted(0), ())))
    assert first.startswith(f"{len(failing)} excepted, "), "as the page counts them"
    silent = Snapshot(
        NOW, SNAPSHOT.parts | {SnapshotPart.KEYS: MissingPart(Lack.FAILED, clean("KMS is silent"))}
    )
    assert _code(assess(controls, silent)) == 3
    unread = type(controls)(controls.catalogues, controls.controls, {}, ("a.toml is not text",))
    assert _code(assess(unread, SNAPSHOT)) == 2
