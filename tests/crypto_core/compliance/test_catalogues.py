"""Built-in catalogues name what they must, the team's are read strictly, a broken one hides no other."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from crypto_core.compliance.catalogue_toml import read_catalogue
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.library import ControlLibrary
from crypto_core.lists.toml_fields import SIZE_LIMIT
from crypto_core.values.errors import ControlError

HEAD = 'id = "house"\nversion = 1\nframework = "house"\ntitle = "House rules"\nedition = "2026"\n'
CONTROL = """
[[control]]
id = "house-1"
number = "1"
title = "Encrypted"
question = "Is it?"
tests = ["tokens-encrypted"]
as_far_as = "tokens"
limit = "Nothing else."
"""
EXCEPTION = '[[exception]]\ncontrol = "pci-3.7.4"\nreason = "It can\'t."\nby = "CISO"\nuntil = 2027-01-31\n'
OWNERS = '[owners]\n"pci-3.7.4" = "Platform security"\n'
HOSTILE = "[/red]\\u001b[31m\\u202e"


def test_every_framework_has_the_numbers_that_it_is_asked_for() -> None:
    found = ControlLibrary().read()
    assert found.troubles == ()
    by_framework = {
        name: {control.number for control in found.controls if control.framework.id == name}
        for name in found.frameworks
    }
    assert set(by_framework) == {"asvs", "owasp", "soc2", "pci", "iso", "nist"}
    assert {number.partition(".")[0] for number in by_framework["asvs"]} == {"V11", "V13", "V14"}
    assert by_framework["soc2"] == {"CC6.1", "CC6.6", "CC6.7", *(f"CC7.{n}" for n in range(1, 6))}
    assert by_framework["iso"] == {"A.8.24", "A.8.15", *(f"A.5.{n}" for n in range(24, 29))}
    assert by_framework["nist"] >= {"SC-12", "SC-13", "SC-28", "AU-9", "AU-10", "IR-4", "IR-5", "5.3", "7"}
    pci = {".".join(number.split(".")[:2]) for number in by_framework["pci"]}
    assert pci >= {"3.5", "3.6", "3.7", "10.2", "10.3", "10.4", "10.5", "10.6", "10.7", "12.3", "12.10"}
    assert "12.3.3" in by_framework["pci"]
    titles = {control.framework.title for control in found.controls}
    assert {"OWASP Cryptographic Storage Cheat Sheet", "OWASP Key Management Cheat Sheet"} <= titles
    assert {"NIST SP 800-53", "NIST SP 800-57 Part 1"} <= titles


def test_every_built_in_control_has_tests_and_says_how_far_they_go_or_why_it_has_none() -> None:
    controls = ControlLibrary().read().controls
    assert len({control.id for control in controls}) == len(controls)
    for control in controls:
        assert control.framework.edition
        assert control.question.endswith("?")
        assert bool(control.tests) != bool(control.outside)
        assert bool(control.tests) == bool(control.as_far_as and control.limit)
    assert {name for control in controls for name in control.tests} == set(ALL_TESTS)


def test_a_catalogue_of_the_teams_is_read(tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_text(HEAD + CONTROL + EXCEPTION + OWNERS)
    for place in (tmp_path, file):
        found = ControlLibrary(place).read()
        assert found.troubles == ()
        assert "house" in found.frameworks
        by_id = {control.id: control for control in found.controls}
        assert by_id["house-1"].tests == ("tokens-encrypted",)
        assert by_id["pci-3.7.4"].owner == "Platform security"
        exemption = found.exemptions["pci-3.7.4"]
        assert (exemption.by, exemption.until) == ("CISO", date(2027, 1, 31))
    only = 'id = "house"\nversion = 2\n' + EXCEPTION
    assert read_catalogue(only).controls == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "F: id must be small letters"),
        (HEAD.replace("version = 1", "version = true") + CONTROL, "F: version is not a whole number"),
        (HEAD.replace('edition = "2026"\n', "") + CONTROL, "F: edition is missing"),
        (HEAD.replace('"house"', '"House!"') + CONTROL, "F: id must be"),
        (HEAD + CONTROL.replace("house-1", "1"), "F: control 1: id must be"),
        (HEAD + CONTROL + CONTROL, "F: control house-1: id is another control's already"),
        (HEAD + CONTROL.replace('number = "1"\n', ""), "F: control house-1: number is missing"),
        (HEAD + CONTROL.replace("tokens-encrypted", "tokens-encryptd"), "Did you mean tokens-encrypted?"),
        (HEAD + CONTROL.replace('["tokens-encrypted"]', "[]"), "F: control house-1: tests is missing"),
        (HEAD + CONTROL.replace('["tokens-encrypted"]', '"tokens-encrypted"'), "tests is not a list"),
        (HEAD + CONTROL + 'outside = "No."', "F: control house-1: outside can't stand beside tests"),
        (HEAD + CONTROL.replace('limit = "Nothing else."', ""), "F: control house-1: limit is missing"),
        (HEAD + CONTROL + f'colour = "{HOSTILE}"', "F: control house-1: 'colour' is not known here"),
        (HEAD + CONTROL + EXCEPTION.replace("2027-01-31", '"soon"'), "F: exception 1: until is not a date"),
        (HEAD + CONTROL + EXCEPTION.replace("2027-01-31", "2027-01-31T00:00:00Z"), "until is not a date"),
        (HEAD + CONTROL + EXCEPTION.replace("until = 2027-01-31", ""), "every exception ends"),
        (HEAD + CONTROL + EXCEPTION.replace('by = "CISO"\n', ""), "F: exception 1: by is missing"),
        (HEAD + CONTROL + "[owners]\nx = 7", "F: owners: x is not text"),
        (HEAD + "control = 7", "F: control is not a list"),
        (HEAD + "control = [7]", "F: control 1 is not a table"),
        (HEAD + CONTROL.replace('"Encrypted"', f'"{"x" * 3_000}"'), "title is longer than 120 characters"),
        ("x" * 10_000_000, "F is longer than"),
        ("a" + ".a" * 400 + " = 1", "F is not TOML that can be read"),
        ("x = " + "[" * 100_000, "F is not TOML"),
        (f'"{HOSTILE}" = 7', "F: id must be"),
    ],
)
def test_a_catalogue_that_is_wrong_is_refused_by_file_control_and_field(text: str, told: str) -> None:
    with pytest.raises(ControlError) as refused:
        read_catalogue(text, "F")
    assert told in str(refused.value)
    assert "keydeck help compliance" in str(refused.value)
    assert str(refused.value).isprintable()


def test_hostile_text_is_cleaned() -> None:
    read = read_catalogue(
        HEAD + CONTROL.replace("Encrypted", f"{HOSTILE}Encrypted"), f"F\x1b{'x' * 10_000_000}"
    )
    assert read.controls[0].title == "[/red][31mEncrypted"
    assert len(read.source) == 300
    assert read.source.isprintable()


def test_a_broken_file_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("id = 7")
    (tmp_path / "b.toml").write_text(HEAD + CONTROL)
    (tmp_path / "c.toml").write_text(HEAD + CONTROL.replace("house-1", "house-2"))
    (tmp_path / "d.toml").write_text(
        HEAD.replace('"house"', '"other"', 1) + CONTROL.replace("house-1", "pci-3.5.1")
    )
    (tmp_path / "e.toml").write_bytes(b"\xff")
    (tmp_path / "f.toml").write_bytes(b"#" * (SIZE_LIMIT + 1))
    (tmp_path / "g.toml").mkdir()
    (tmp_path / "h.toml").write_text('id = "h"\nversion = 1\n' + EXCEPTION.replace("pci-3.7.4", "pci-3.7.44"))
    (tmp_path / "notes.txt").write_text("no catalogue")
    found = ControlLibrary(tmp_path).read()
    assert "house" in found.frameworks
    assert len(found.troubles) == 7
    for trouble, told in zip(
        found.troubles,
        (
            "a.toml: id must be",
            "c.toml: id house is that of another catalogue",
            "d.toml: control pci-3.5.1: id is that of another control (built-in pci.toml)",
            "e.toml is not text in UTF-8",
            "f.toml is longer than 256 KiB",
            "g.toml is not a file",
            "h.toml: exception: there is no control 'pci-3.7.44'",
        ),
        strict=True,
    ):
        assert told in trouble
    assert ControlLibrary(tmp_path / "nowhere").read().troubles[0].endswith("Check KEYDECK_CONTROLS.")
