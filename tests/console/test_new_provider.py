"""A provider is known by two records: its issuer's, and its own. Everything else derives from them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.providers_control import ProviderControl
from crypto_core import encrypt_token
from tests.console.command_types import Keydeck
from tests.left_out import ROOT, needs

pytestmark = needs("forensics")
TOKEN = "acme_CANARYcanary0123456789"
RECORD = 'TokenIssuer("acme-git", ("acme_", "acmr_"), ("acmr_",), ("acme-ci",), table_words=("acme",)),'
SCRIPT = f"""
import json
from console.sandbox.providers_control import ProviderControl
from crypto_core.envelope import classify
from crypto_core.values.errors import InvalidTokenError
from crypto_core.forensics.token_search.leak_reader import read_leak
from crypto_core.forensics.tripwires.decoy_rows import made_up_token
from crypto_core.incidents.steps.evidence_text import kept_text
from crypto_core.log.redaction import redacted
from crypto_core.providers.messages import Target
from crypto_core.providers.registry import question_of
from crypto_core.reencryption.replacing_token.validation import taken
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

def entered(token, provider, column="access_token"):
    try:
        return taken(Secret.of(token), TokenRef("t", column, "1"), provider).reveal() == token
    except InvalidTokenError as error:
        return error.message.removeprefix(f"t.{{column}}:1: ")

TOKEN = "{TOKEN}"
own, other = (Target(TokenRef("t", "c", "1"), name, "https://x") for name in ("acme-git", "github"))
leaked = read_leak(Secret.of(f'at 7: "{{TOKEN}}", again')).wanted
decoys = [made_up_token(name, 40, kind) for name in ("acme-git", "acme-ci") for kind in ("", "refresh")]
print(json.dumps([
    redacted(f"sent {{TOKEN}}") + kept_text(f"sent {{TOKEN}}"),
    [question_of(own, TOKEN).url, question_of(other, TOKEN), question_of(own, "acmr_1")],
    [entered(TOKEN, "acme-ci"), entered(TOKEN, "github"), entered("0123456789", "acme-git"),
     entered(TOKEN, "acme-git", "refresh_token")],
    [[one.issuer, one.mask] for one in leaked],
    [[one[:5], len(one), classify(one).provider] for one in decoys],
    ProviderControl("http://127.0.0.1:1", "").settings()["KEYDECK_PROVIDER_URLS"],
]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keydeck's own tree with the two records."""
    folder = tmp_path_factory.mktemp("tree")
    for floor in ("console", "screens", "crypto_core"):
        shutil.copytree(ROOT / floor, folder / floor)
    issuers, room = folder / "crypto_core/envelope/issuers.py", folder / "crypto_core/providers/builtin"
    issuers.write_text(issuers.read_text().replace("_ISSUERS = (\n", f"_ISSUERS = (\n    {RECORD}\n"))
    record = (ROOT / "tests/example_package/acme_provider.py").read_text()
    (room / "acme.py").write_text(f"{record}\nPROVIDERS = (PROVIDER,)\n")
    return folder


def run(tree: Path, *arguments: str) -> str:
    """Run Python in that tree, where the environment points; returns what it prints."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, *arguments]
    ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr
    return ran.stdout


def test_its_tokens_are_masked_checked_found_imitated_and_sent_to_it_alone(tree: Path) -> None:
    _, asked, entered, leaked, decoys, sandbox = json.loads(run(tree, "-c", SCRIPT))
    foreign = "its prefix is that of a token of acme-git, and its row says github: it is not sent there"
    assert asked == ["https://x/api/v4/user", foreign, "a refresh token can only be used, not asked about"]
    assert entered == [
        True,
        "this begins like a token of acme-git, and the connection is with github.",
        "this begins like no token of acme-git (acme_, acmr_).",
        "this is no refresh token of acme-git, and refresh_token is for one.",
    ]
    assert leaked == [["acme-git", "acme-git acme, 27 characters"]]
    assert decoys == [["acme_", 40, "acme-git"], ["acmr_", 40, "acme-git"]] * 2
    assert json.loads(sandbox) == {"acme-git": "http://127.0.0.1:1/_providers/acme-git"}


@pytest.mark.deep
@pytest.mark.usefixtures("services")
def test_a_table_of_its_tokens_is_proposed_listed_and_asked_about(
    tree: Path, platform: Engine, providers: ProviderControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with platform.begin() as connection:
        connection.execute(text("CREATE TABLE acme_connection (id bigint PRIMARY KEY, access_token text)"))
        stored = [{"id": 1, "token": TOKEN}, {"id": 2, "token": encrypt_token(TOKEN)}]
        connection.execute(text("INSERT INTO acme_connection VALUES (:id, :token)"), stored)
    (proposed,) = json.loads(run(tree, "-m", "console", "discover", "--json"))["proposed"]
    assert proposed["entry"]["provider"] == "acme-git"
    (tmp_path / "settings.toml").write_text(proposed["toml"])
    monkeypatch.setenv("KEYDECK_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("KEYDECK_PROVIDER_URLS", json.dumps({"acme-git": f"{providers.urls['github']}/acme"}))
    listed = json.loads(run(tree, "-m", "console", "connections", "--filter", "leaked:acme-git", "--json"))
    assert [one["reference"] for one in listed["connections"]] == ["acme_connection.access_token:1"]
    run(tree, "-m", "console", "abilities", "acme_connection.access_token:2", "--yes")
    assert [(call.provider, call.path) for call in providers.calls()] == [("github", "/acme/api/v4/user")]


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ({"jira": "https://x.example"}, "jira has a setting of its own: atlassian_url"),
        ({"linear": "http://x.example"}, "linear: Tokens are only sent over https"),
        ({"linear": "https://x.example"}, "provider_urls: no provider 'linear' is known"),
    ],
)
def test_a_base_url_that_is_no_further_providers_is_refused(
    services: Container, keydeck: Keydeck, monkeypatch: pytest.MonkeyPatch, urls: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("KEYDECK_PROVIDER_URLS", json.dumps(urls))
    ran = keydeck("abilities", "--filter", "provider:slack", "--yes")
    assert (ran.exit_code, said in ran.stderr) == (2, True), ran.stderr
