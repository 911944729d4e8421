"""Extensions: used where the settings name them, and only there; what fails is told, and no more."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.container import Container
from console.extensions import use_extensions
from crypto_core.findings.registry import rules_about
from crypto_core.incidents.report import own_sections
from crypto_core.incidents.report.own_sections import OwnSection, OwnTable
from crypto_core.incidents.report.section import Named
from crypto_core.providers.abilities import AbilityDraft
from crypto_core.providers.answers import Liveness
from crypto_core.providers.messages import ProviderAnswer, Request, Said, Target
from crypto_core.providers.registry import provider_of_row, question_of
from crypto_core.values.errors import SettingsError
from crypto_core.values.references import parse_reference
from tests.console.command_types import Keydeck
from tests.crypto_core.canary import CANARY
from tests.crypto_core.incidents.report.making import service_of
from tests.crypto_core.incidents.sample import sample
from tests.crypto_core.trail.records import read, record, user

EXAMPLE = Path(__file__).parents[1] / "example_package"
WRONG = {
    "named": "@rule('other-x', 'X', Severity.LOW, Facts.KEYS)\ndef x(estate):\n    yield from ()\n",
    "broken": "raise RuntimeError('[/red]\\x1b[2Jbroken')\n",
    "twice": "@rule('kms-rotation-off', 'X', Severity.LOW, Facts.KEYS)\ndef x(estate):\n    yield from ()\n",
}
COMMANDS = "commands={%r: AddedCommand('X')}, package='acme_extra'"
WRONG_MANIFESTS = {
    "taking": (
        "Manifest('taking', " + COMMANDS % "status" + ")",
        "status in its commands does not begin with",
    ),
    "other": ("Manifest('acme', package='acme_extra')", "it is no Manifest with the name other"),
    "evidence": ("Manifest('evidence', package='acme_extra')", "the name of one of Keydeck's"),
    "homeless": ("Manifest('homeless')", "or names no package"),
    "setting": (
        "Manifest('setting', settings='a:B', package='acme_extra')",
        "settings are only for Keydeck's own",
    ),
    "concluding": (
        "Manifest('concluding', checks=('a:b',), package='acme_extra')",
        "checks are only for Keydeck's own",
    ),
    "hostile": (
        "Manifest('hostile', " + COMMANDS % "hostile-\x1b[2J" + ")",
        "in its commands does not begin",
    ),
    "odd": (
        "Manifest('odd', commands=5, package='acme_extra')",
        "can't be used: 'int' object is not iterable",
    ),
    "text": ("'[/red]'", "it is no Manifest"),
}
"""What packages offer as manifests, and why it is refused."""
TOKEN_PAGES = (
    "from console.capabilities import AddedCommand, AddedPage, Manifest\n"
    "PAGES = {name: AddedPage('Inside', 'X', []) for name in ('token-leak', 'token-note')}\n"
    "MANIFEST = Manifest('token', {'token-x': AddedCommand('X', [])}, PAGES, package='token_pages')\n"
)
HEAD = (
    "from crypto_core.findings.registry import Facts, rule\n"
    "from crypto_core.findings.finding import Severity\n"
)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example and three packages that are wrong, as if they were installed."""
    found = tmp_path / "acme-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    lines = [
        *("[keydeck.rules]", "acme = acme_rules", *(f"{name} = wrong_{name}" for name in WRONG)),
        *("[keydeck.providers]", "acme = acme_provider:PROVIDER", "no-provider = acme_provider:BASE"),
        *("taken = wrong_taken:PROVIDER", "[keydeck.report_sections]", "acme = acme_report:section"),
        *(
            "no-function = acme_provider:BASE",
            "[keydeck.capabilities]",
            "acme = acme_extra.manifest:MANIFEST",
        ),
        *(f"{name} = wrong_manifest:{name.upper()}" for name in WRONG_MANIFESTS),
        *("token = token_pages:MANIFEST", "again = acme_extra.manifest:MANIFEST"),
    ]
    (found / "entry_points.txt").write_text("\n".join(lines))
    (tmp_path / "wrong_taken.py").write_text(
        "from dataclasses import replace\nfrom acme_provider import PROVIDER\n"
        "PROVIDER = replace(PROVIDER, other_names=('jira',))\n"
    )
    made = "\n".join(f"{name.upper()} = {made}" for name, (made, _) in WRONG_MANIFESTS.items())
    (tmp_path / "wrong_manifest.py").write_text(
        f"from console.capabilities import AddedCommand, Manifest\n{made}\n"
    )
    (tmp_path / "token_pages").mkdir()
    (tmp_path / "token_pages/__init__.py").write_text(TOKEN_PAGES)
    (tmp_path / "token_pages/token-note.md").write_text("# A note\n\n<!-- rota -->\n")
    again = tmp_path / "again-1.0.dist-info"
    again.mkdir()
    (again / "METADATA").write_text("Metadata-Version: 2.1\nName: again\nVersion: 1.0\n")
    for name, text in WRONG.items():
        (tmp_path / f"wrong_{name}.py").write_text(HEAD + text)
    for folder in (EXAMPLE, tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    yield tmp_path
    use_extensions(())
    for name in WRONG:
        sys.modules.pop(f"wrong_{name}", None)


def test_the_rules_of_a_package_are_examined_where_the_settings_name_it_and_only_there(
    services: Container, keydeck: Keydeck, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.trail.events.add([read(record("ListKeys", who=user("bob")))])
    before = keydeck("findings", "--json").json["findings"]
    assert not [one for one in before if one["rule"].startswith("acme-")]
    monkeypatch.setenv("KEYDECK_EXTENSIONS", "acme")
    ran = keydeck("findings", "--since", "2020-01-01", "--json").json
    rules = {one["rule"] for one in ran["findings"]}
    assert {"acme-key-owner", "acme-listed"} <= rules
    reasons = ran["coverage"]["reasons"]
    assert "acme-broken was not examined: it failed: ZeroDivisionError" in reasons
    assert "acme-listed" in keydeck("findings", "rules").stdout
    monkeypatch.delenv("KEYDECK_EXTENSIONS")
    after = keydeck("findings", "--json").json["findings"]
    assert not [one for one in after if one["rule"].startswith("acme-")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "no package here offers anything as 'nobody'"),
        ("named", "rule other-x does not begin with named-"),
        ("broken", "The keydeck.rules of broken can't be loaded: RuntimeError: "),
        ("twice", "can't be loaded: ValueError: two rules have the id kms-rotation-off"),
        ("no-provider", "what no-provider offers as keydeck.providers is not a Provider"),
        ("no-function", "what no-function offers as keydeck.report_sections is not a function"),
        ("taken", "a provider can't be named 'jira'"),
    ],
)
def test_a_package_that_is_wrong_is_refused_by_name(
    packages: Path, keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    rules_about()
    monkeypatch.setenv("KEYDECK_EXTENSIONS", name)
    ran = keydeck("findings", "rules")
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert "\x1b" not in ran.stderr
    with pytest.raises(SettingsError):
        use_extensions([name])


def test_a_provider_of_a_package_is_asked_and_gets_no_token_of_another_one(packages: Path) -> None:
    assert provider_of_row("acme-git") is None
    use_extensions(["acme"])
    found = provider_of_row("ACME-GIT")
    assert found is not None
    target = Target(
        parse_reference("gh_connection.access_token:gh-1"), "acme-git", "https://git.acme.example"
    )
    asked = question_of(target, "glpat-" + "x" * 20)
    assert isinstance(asked, Request)
    assert asked.url == "https://git.acme.example/api/v4/user"
    assert "it is not sent there" in str(question_of(target, "ghp_" + "x" * 36))
    draft = AbilityDraft(target, "glpat-x", datetime(2026, 11, 29, tzinfo=UTC))
    assert found.abilities is not None
    found.abilities.first(draft, ProviderAnswer(200, {}, b'{"scopes": ["write", "[/red]\\u001b"]}'))
    told = draft.finished(Said(Liveness.ALIVE, ""))
    assert (told.scopes, told.writes, told.admin) == (("write", "[/red]"), True, False)
    use_extensions(())
    assert provider_of_row("acme-git") is None


def test_a_section_of_a_package_is_in_every_form_masked_and_one_that_fails_says_so(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sample()
    assert "own_sections" not in service_of(made).report(made.view, "json")
    use_extensions(["acme"])
    for form in ("markdown", "html", "json"):
        text = service_of(made).report(made.view, form)
        assert "Data protection" in text
        assert "72 hours" in text
    module = importlib.import_module("acme_report")
    hostile = OwnSection(
        "<b>[/red]\x1b", (Named("x|y", CANARY),), (OwnTable("|", ("a|b",), (("<script>",),)),)
    )
    for returned, said in (
        (hostile, "&lt;b&gt;"),
        (OwnSection("T", (), (OwnTable("c", ("a", "b"), (("one",),)),)), "it failed: ValueError"),
        ("text", "it failed: TypeError"),
        (None, "Integrity of this report"),
    ):
        own_sections.use_sections({"acme": lambda view, made=returned: made})  # type: ignore[misc]
        html = service_of(made).report(made.view, "html")
        assert said in html
        assert CANARY not in html
        assert "<script>" not in html
    assert module.section(made.view).title == "Acme's form"


def console(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command where the packages are installed: its manifests are read once, as it starts."""
    of_user = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")}
    paths = {"PYTHONPATH": f"{EXAMPLE}:{folder}:{Path(__file__).parents[2]}", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "console", *arguments]
    return subprocess.run(
        command, env=of_user | paths | environment, capture_output=True, text=True, check=False
    )


def test_a_capability_of_a_package_is_there_where_settings_name_it_and_only_there(packages: Path) -> None:
    file = packages / "named.toml"
    file.write_text('extensions = ["acme"]\n')
    listed = console(packages, "--help", KEYDECK_EXTENSIONS="acme").stdout
    assert re.search("^  doctor .*\n  acme-on-call +Say who is on call.$", listed, re.MULTILINE)
    assert console(packages, "--help", KEYDECK_SETTINGS=str(file)).stdout == listed
    assert console(packages, "acme-on-call", KEYDECK_SETTINGS=str(file)).stdout == "ana\n"
    page = console(packages, "help", "acme-on-call", KEYDECK_EXTENSIONS="other, acme")
    assert "Ana is on call." in page.stdout
    assert "acme-on-call" not in console(packages, "--help").stdout
    refused = console(packages, "acme-on-call", KEYDECK_SETTINGS=str(file), KEYDECK_EXTENSIONS="no-provider")
    assert (refused.returncode, "No such command 'acme-on-call'" in refused.stderr) == (2, True)


@pytest.mark.deep
@pytest.mark.parametrize("name", WRONG_MANIFESTS)
def test_a_wrong_manifest_adds_nothing_and_is_refused_by_name(packages: Path, name: str) -> None:
    listed = console(packages, "--help", KEYDECK_EXTENSIONS=name)
    assert (listed.returncode, listed.stdout) == (0, console(packages, "--help").stdout)
    refused = console(packages, "settings", KEYDECK_EXTENSIONS=name)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"what {name} offers as keydeck.capabilities can't be used: " in refused.stderr
    assert WRONG_MANIFESTS[name][1] in refused.stderr
    assert "\x1b" not in refused.stderr
    assert "Mend the package, or take it out of extensions." in refused.stderr


def test_no_page_of_keydecks_is_replaced_whatever_its_chapter(packages: Path) -> None:
    own = console(packages, "help", "token-leak").stdout
    assert console(packages, "help", "token-leak", KEYDECK_EXTENSIONS="token").stdout == own
    note = console(packages, "help", "token-note", keydeck_extensions="token")
    assert (note.returncode, "A note" in note.stdout) == (0, True)


def test_what_two_packages_offer_by_one_name_is_refused(packages: Path) -> None:
    entry_points = packages / "again-1.0.dist-info/entry_points.txt"
    entry_points.write_text("[keydeck.capabilities]\nagain = acme_extra.manifest:MANIFEST\n")
    refused = console(packages, "settings", KEYDECK_EXTENSIONS="again")
    assert (refused.returncode, "2 packages offer it" in refused.stderr) == (2, True)


@pytest.mark.deep
def test_no_manifest_is_imported_that_settings_do_not_name(packages: Path) -> None:
    (packages / "wrong_manifest.py").write_text("raise SystemExit(9)\n")
    assert console(packages, "settings").returncode == 0
    assert console(packages, "settings", KEYDECK_EXTENSIONS="acme").returncode == 0
    (packages / "wrong_manifest.py").write_text("raise RuntimeError('\x1b[2Jbroken')\n")
    refused = console(packages, "settings", KEYDECK_EXTENSIONS="text")
    assert (refused.returncode, "\x1b" in refused.stderr) == (2, False)
    assert "The keydeck.capabilities of text can't be loaded: RuntimeError: " in refused.stderr
