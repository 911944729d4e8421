"""The manual's list for your own database and AWS, followed word for word. Deep: Keydeck is installed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from console.sandbox.postgres_files import PostgresFiles
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from tests.console.test_grants import called
from tests.packages.conftest import HOME, Installed, outside

pytestmark = pytest.mark.deep

OWNERS_PASSWORD = "made-by-a-test"
AWS = """#!{python}
import sys, boto3
assert sys.argv[1:4] == ["iam", "create-policy", "--policy-name"], sys.argv
name, _, document = sys.argv[4:]
text = open(document.removeprefix("file://")).read()
print(boto3.client("iam").create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"])
"""


def the_list() -> str:
    """The commands as the manual prints them."""
    page = (HOME / "console/manual/pages/connect.md").read_text(encoding="utf-8")
    section = page.partition("## A role of its own\n")[2]
    return section.partition("```sh\n")[2].partition("```")[0]


@pytest.fixture
def owner(database_url: str, superuser: Engine) -> Iterator[str]:
    """A role that owns the platform's tables and may create roles: its URL."""
    name = str(make_url(database_url).database)
    role = f"owner_{name}"
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN CREATEROLE PASSWORD '{OWNERS_PASSWORD}'"))
        connection.execute(text(f"GRANT platform TO {role}"))
        connection.execute(text(f"GRANT CREATE ON DATABASE {name} TO {role}"))
    url = make_url(database_url).set(username=role, password=OWNERS_PASSWORD)
    yield url.render_as_string(hide_password=False)
    with superuser.begin() as connection:
        for one in ("keydeck_operator", role):
            if connection.scalar(text("SELECT true FROM pg_roles WHERE rolname = :one"), {"one": one}):
                connection.execute(text(f"DROP OWNED BY {one} CASCADE"))
                connection.execute(text(f"DROP ROLE {one}"))


def test_a_stranger_connects_their_own(
    lean: Installed, owner: str, sandbox: Sandbox, world: World, settings: dict[str, str], tmp_path: Path
) -> None:
    operator = make_url(owner).set(username="keydeck_operator", password="password")
    told = {
        "postgresql://owner:password@db.example:5432/platform": owner,
        "postgresql://keydeck_operator:password@db.example:5432/platform": operator.render_as_string(
            hide_password=False
        ),
        "arn:aws:kms:eu-west-1:123456789012:key/…": world.current_key.arn,
    }
    commands = the_list()
    for printed, here in told.items():
        assert printed in commands
        commands = commands.replace(printed, here)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "psql").symlink_to(PostgresFiles.installed().program("psql"))
    (tools / "aws").write_text(AWS.format(python=lean.folder / "bin" / "python"), encoding="utf-8")
    (tools / "aws").chmod(0o755)
    aws = {name: value for name, value in settings.items() if name != "DATABASE_URL"}
    path = f"{lean.folder / 'bin'}:{tools}:{outside()['PATH']}"
    before = dict(sandbox.control.stats().calls)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", commands],
        cwd=tmp_path,
        env=outside(**aws, PATH=path, XDG_CONFIG_HOME=str(tmp_path), XDG_STATE_HOME=str(tmp_path)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "+ keydeck verify --all" in done.stderr, done.stdout + done.stderr
    # All before ended with 0; verify tells the generated data's damaged tokens.
    assert done.returncode == 1, done.stdout + done.stderr
    policy = json.loads((tmp_path / "keydeck-operator.json").read_text(encoding="utf-8"))
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert called(sandbox, before) - {"iam:CreatePolicy"} <= allowed
