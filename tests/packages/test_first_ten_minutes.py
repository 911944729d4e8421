"""A new user's first ten minutes, by what the manual prints: the demo, a first insight, one's own database.

Deep: Keydeck is installed.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text
from uv import find_uv_bin

from console.manual.book import source
from console.sandbox.postgres_files import PostgresFiles
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.database.connection.engine import open_engine
from crypto_core.envelope import parse
from tests.console.test_grants import called
from tests.packages.conftest import Built, Installed, outside

pytestmark = pytest.mark.deep

OWNERS_PASSWORD = "made-by-a-test"
AWS = """#!{python}
import sys, boto3
assert sys.argv[1:4] == ["iam", "create-policy", "--policy-name"], sys.argv
name, _, document = sys.argv[4:]
text = open(document.removeprefix("file://")).read()
print(boto3.client("iam").create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"])
"""


READER = "reader"
SLOW_TYPIST = 250
"""Characters a minute."""


def printed(page: str, section: str) -> str:
    return source(page).partition(f"# {section}\n")[2].partition("```sh\n")[2].partition("```")[0]


@pytest.fixture
def owner(database_url: str, superuser: Engine) -> Iterator[str]:
    """A role that owns the platform's tables and may create roles: its URL."""
    name = str(make_url(database_url).database)
    role = f"owner_{name}"
    with superuser.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN CREATEROLE PASSWORD '{OWNERS_PASSWORD}'"))
        connection.execute(text(f"GRANT platform TO {role}"))
        connection.execute(text(f"GRANT CREATE ON DATABASE {name} TO {role}"))
        connection.execute(text(f"CREATE ROLE {READER} LOGIN PASSWORD 'password'"))
        connection.execute(text(f"GRANT pg_read_all_data TO {READER}"))
    url = make_url(database_url).set(username=role, password=OWNERS_PASSWORD)
    yield url.render_as_string(hide_password=False)
    with superuser.begin() as connection:
        for one in ("keydeck_operator", READER, role):
            if connection.scalar(text("SELECT true FROM pg_roles WHERE rolname = :one"), {"one": one}):
                connection.execute(text(f"DROP OWNED BY {one} CASCADE"))
                connection.execute(text(f"DROP ROLE {one}"))


def typed(script: str, path: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-x", "-c", script],
        cwd=folder,
        env=outside(**settings, PATH=path, XDG_CONFIG_HOME=str(folder), XDG_STATE_HOME=str(folder)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_demo_gives_a_first_insight(built: Built, tmp_path: Path) -> None:
    install, commands = printed("tour", "Five minutes"), printed("tour", "From a shell")
    assert len(install + commands) < SLOW_TYPIST * 2
    demo = ("keydeck", "demo", "--tokens", "60", "--shell")
    done = subprocess.run(
        [find_uv_bin(), "tool", "run", "--from", f"{built.wheel}[demo]", *demo],
        input=commands,
        cwd=tmp_path,
        env=outside(SHELL="/bin/sh"),
        capture_output=True,
        text=True,
        check=False,
    )
    # The last command's: the report is there.
    assert done.returncode == 0, done.stdout + done.stderr
    for insight in ("in plaintext", "user/intruder opened far more than ever", "# INC-1 "):
        assert insight in done.stdout, done.stdout + done.stderr


def test_a_stranger_connects_their_own_looks_and_moves_a_token(
    lean: Installed, owner: str, sandbox: Sandbox, world: World, settings: dict[str, str], tmp_path: Path
) -> None:
    url = make_url(owner)

    def of(role: str) -> str:
        return url.set(username=role, password="password").render_as_string(hide_password=False)

    old = world.sealed_under(world.old_key)[0]
    told = {
        "postgresql://owner:password@db.example:5432/platform": owner,
        "postgresql://keydeck_operator:password@db.example:5432/platform": of("keydeck_operator"),
        "postgresql://reader:password@db.example:5432/platform": of(READER),
        # On a terminal this opens the console.
        "keydeck --read-only\n": "keydeck --read-only status\n",
        "arn:aws:kms:eu-west-1:123456789012:key/…": world.current_key.arn,
        "gh_connection.access_token:gh-42": str(old),
    }
    sections = ("Look first", "A role of its own", "A first change")
    look, connect, change = (printed("connect", section) for section in sections)
    assert len(look + connect + change) < SLOW_TYPIST * 8
    # Doctor names what a mere reader lacks.
    script = look.replace("keydeck doctor\n", "keydeck doctor || test $? = 1\n")
    assert connect.endswith("keydeck verify --all\n")
    # Verify tells the generated data's damaged tokens.
    script += f"{connect.rstrip()} || test $? = 1\n{change}"
    for words, here in told.items():
        assert words in script
        script = script.replace(words, here)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "psql").symlink_to(PostgresFiles.installed().program("psql"))
    (tools / "aws").write_text(AWS.format(python=lean.folder / "bin" / "python"), encoding="utf-8")
    (tools / "aws").chmod(0o755)
    aws = {name: value for name, value in settings.items() if name != "DATABASE_URL"}
    path = f"{lean.folder / 'bin'}:{tools}:{outside()['PATH']}"
    before = dict(sandbox.control.stats().calls)
    done = typed(script, path, tmp_path, **aws)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "+ keydeck rewrap" in done.stderr
    policy = json.loads((tmp_path / "keydeck-operator.json").read_text(encoding="utf-8"))
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert called(sandbox, before) - {"iam:CreatePolicy"} <= allowed
    engine = open_engine(of("keydeck_operator"))
    try:
        with engine.connect() as connection:
            stored = connection.scalar(
                text(f"SELECT {old.column} FROM {old.table} WHERE id::text = :id"), {"id": old.row_id}
            )
    finally:
        engine.dispose()
    [now] = sandbox.control.opened([(parse(str(stored)).encrypted_data_key, {})])
    assert now is not None
    assert now.key_arn == world.current_key.arn
