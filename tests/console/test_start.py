"""What is loaded before the console's first rows are painted, and before help is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
CONSOLE = """
from console.application.app import KeydeckApp
from console.application.context import ConsoleContexts
from console.application.prefetch import foreseen
from console.application.app import main_screen
from console.settings import load
contexts = ConsoleContexts(load().settings)
app = KeydeckApp(contexts.services, start_screen="{screen}")
main_screen("{screen}", app.facts)
{then}
contexts.close()
"""
LATER = (
    "boto3",
    "botocore",
    "crypto_core.forensics",
    "crypto_core.keys.changes",
    "crypto_core.keys.posture.examination",
    "crypto_core.incidents.keys.rotation",
    "crypto_core.keys.replacement",
    "crypto_core.keys.service",
    "crypto_core.reencryption",
    "crypto_core.trail.rules",
    "crypto_core.trail.sources",
    "crypto_core.trail.store",
    "crypto_core.trail.use",
    "screens.events.screen",
    "screens.findings",
    "screens.keys",
    "screens.manual",
    "cryptography",
    "markdown_it",
)
"""What the first rows don't need: none of it is loaded, nor what is below it."""


def loaded_by(program: str, folder: Path) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after a program."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "KEYDECK_"))},
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
    }
    said = "import json, sys; print(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{said}"],
        check=True,
        capture_output=True,
        text=True,
        cwd=HOME,
        env=environment,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def below(name: str, modules: set[str]) -> set[str]:
    return {module for module in modules if module == name or module.startswith(f"{name}.")}


@pytest.mark.deep
@pytest.mark.parametrize("screen", ["status", "connections"])
def test_the_first_rows_wait_for_nothing_that_they_do_not_need(screen: str, tmp_path: Path) -> None:
    modules = loaded_by(CONSOLE.format(screen=screen, then=""), tmp_path)
    assert f"screens.{screen}.screen" in modules
    assert not [module for name in LATER for module in below(name, modules)]
    assert not list(tmp_path.rglob("events.sqlite"))


@pytest.mark.deep
def test_a_service_is_loaded_when_it_is_used(tmp_path: Path) -> None:
    use = "contexts.services.events.state()"
    assert "crypto_core.trail.store" in loaded_by(CONSOLE.format(screen="status", then=use), tmp_path)
    assert list(tmp_path.rglob("events.sqlite"))


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        (
            "console.settings",
            (
                "crypto_core.aws.kms",
                "crypto_core.aws.sessions",
                "boto3",
                "crypto_core.database.tokens.census",
            ),
        ),
    ],
)
def test_a_module_draws_in_nothing_that_it_seldom_needs(
    module: str, spared: tuple[str, ...], tmp_path: Path
) -> None:
    modules = loaded_by(f"import {module}", tmp_path)
    assert not [found for name in spared for found in below(name, modules)]


@pytest.mark.parametrize("command", ["--help", "events --help"])
def test_help_loads_neither_services_nor_screens(command: str, tmp_path: Path) -> None:
    modules = loaded_by(f"from console.__main__ import run; run({command.split()!r})", tmp_path)
    assert "console.__main__" in modules
    assert not modules & {"boto3", "sqlalchemy", "textual", "pydantic", "console.container"}
