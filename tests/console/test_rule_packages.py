"""Rules of other packages: examined where the settings name them, and only there; what fails is told."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.container import Container
from crypto_core.errors import SettingsError
from crypto_core.findings.registry import allow_packages, rules_about
from crypto_core.findings.rule_packages import use_packages
from tests.console.command_types import Keydeck
from tests.crypto_core.trail.records import read, record, user

EXAMPLE = Path(__file__).parents[1] / "example_package"
WRONG = {
    "named": "@rule('other-x', 'X', Severity.LOW, Facts.KEYS)\ndef x(estate):\n    yield from ()\n",
    "broken": "raise RuntimeError('[/red]\\x1b[2Jbroken')\n",
    "twice": "@rule('kms-rotation-off', 'X', Severity.LOW, Facts.KEYS)\ndef x(estate):\n    yield from ()\n",
}
HEAD = (
    "from crypto_core.findings.registry import Facts, rule\n"
    "from crypto_core.findings.severity import Severity\n"
)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example and three packages that are wrong, as if they were installed."""
    found = tmp_path / "acme-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    lines = ["[keydeck.rules]", "acme = acme_rules", *(f"{name} = wrong_{name}" for name in WRONG)]
    (found / "entry_points.txt").write_text("\n".join(lines))
    for name, text in WRONG.items():
        (tmp_path / f"wrong_{name}.py").write_text(HEAD + text)
    for folder in (EXAMPLE, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    yield tmp_path
    allow_packages(())
    for name in WRONG:
        sys.modules.pop(f"wrong_{name}", None)


def test_the_rules_of_a_package_are_examined_where_the_settings_name_it_and_only_there(
    services: Container, keydeck: Keydeck, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.events.add([read(record("ListKeys", who=user("bob")))])
    before = keydeck("findings", "--json").json["findings"]
    assert not [one for one in before if one["rule"].startswith("acme-")]
    monkeypatch.setenv("KEYDECK_RULE_PACKAGES", "acme")
    ran = keydeck("findings", "--since", "2020-01-01", "--json").json
    rules = {one["rule"] for one in ran["findings"]}
    assert {"acme-key-owner", "acme-listed"} <= rules
    reasons = ran["coverage"]["reasons"]
    assert "acme-broken was not examined: it failed: ZeroDivisionError" in reasons
    assert "acme-listed" in keydeck("findings", "rules").stdout
    monkeypatch.delenv("KEYDECK_RULE_PACKAGES")
    after = keydeck("findings", "--json").json["findings"]
    assert not [one for one in after if one["rule"].startswith("acme-")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "no package here offers rules as 'nobody'"),
        ("named", "rule other-x does not begin with named-"),
        ("broken", "The rules of broken can't be loaded: RuntimeError: "),
        ("twice", "can't be loaded: ValueError: two rules have the id kms-rotation-off"),
    ],
)
def test_a_package_that_is_wrong_is_refused_by_name(
    packages: Path, keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    rules_about()
    monkeypatch.setenv("KEYDECK_RULE_PACKAGES", name)
    ran = keydeck("findings", "rules")
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert "\x1b" not in ran.stderr
    with pytest.raises(SettingsError):
        use_packages([name])
