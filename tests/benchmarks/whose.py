"""How fast a token's rows are found: by opening what is stored, and by the index of tokens.

    python -m tests.benchmarks.whose [--tokens N] [--json]

Builds a sandbox and gives its GitHub connections so many rows more, each a v1 envelope of a 40-character
token. Its KMS is a process of this machine and the bound, so what counts of a search that opens is its share
of the speed of `keydeck verify`, which opens the same tokens and compares none. With the index, times are
those of one search with its KMS call. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from statistics import median

import psycopg2
from psycopg2.extras import execute_values

from console.container import Container
from console.forensics.services import ForensicsServices
from console.sandbox.sandbox import Sandbox
from console.settings import load
from crypto_core.database.state.installation import install
from crypto_core.database.tokens.store import TokenScope
from crypto_core.envelope import Format, seal, serialise
from crypto_core.forensics.token_search.leak_reader import read_leak
from crypto_core.forensics.token_search.target_tokens import WantedToken
from crypto_core.guard.consent import Consent
from crypto_core.values.secret import DataKey, Secret
from tests.benchmarks.measuring import Target, options, report, timed

SHARE = 1.5
"""The target in times that verifying takes, for a search that opens everything."""
MANY = 1_000
_INSERT = (
    "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, scopes, created_at) VALUES %s"
)


def token(number: int) -> str:
    return f"ghp_{number:036}"


def fill(sandbox: Sandbox, number: int) -> None:
    """Give the sandbox's GitHub connections so many rows more, under one data key each a nonce of its own."""
    made = sandbox.client("kms").generate_data_key(KeyId=sandbox.world.current_key.arn, KeySpec="AES_256")
    rows = []
    for n in range(number):
        with DataKey(made["Plaintext"]) as key, Secret.of(token(n)) as secret:
            rows.append((f"b-{n:07}", serialise(seal(secret, key, made["CiphertextBlob"]))))
    with (
        closing(psycopg2.connect(sandbox.superuser_url)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        execute_values(
            cursor, _INSERT, rows, "(%s, 'org', 'user', %s, 'oauth', '[]', now())", page_size=1_000
        )


def wanted(*tokens: str) -> tuple[WantedToken, ...]:
    return read_leak(Secret.of("\n".join(tokens))).wanted


def measure(services: Container, number: int, rounds: int) -> dict[str, float]:
    """Seconds by what was done; "opened" is how many were opened by a search."""
    forensics = services.of(ForensicsServices)
    search, index = forensics.token_search, forensics.token_index
    last, nowhere = token(number - 1), "ghp_" + "x" * 36
    found: dict[str, float] = {}
    scope = TokenScope(frozenset({Format.V1}))
    found["verify"], verified = timed(lambda: services.tokens.verifier.verify_scope(scope))
    found["verified"] = len(verified)
    found["one"], one = timed(lambda: search.find_rows(wanted(last)))
    assert [ref.row_id for ref in one.references] == [f"b-{number - 1:07}"]
    found["opened"] = one.looked_at
    asked = [token(n) for n in range(0, number, max(number // MANY, 1))][:MANY]
    found["many"], many = timed(lambda: search.find_rows(wanted(*asked)))
    assert len(many.references) == len(asked)
    found["other length"], other = timed(lambda: search.find_rows(wanted("ghp_" + "x" * 120)))
    assert other.other_length >= number
    plan = index.plan_build()
    found["build"], filled = timed(lambda: index.build(plan, Consent.by_option(plan)))
    found["noted"] = filled.noted
    samples = [timed(lambda: search.find_rows(wanted(last))) for _ in range(rounds)]
    assert all(len(result.references) == 1 for _, result in samples)
    found["index, found"] = median(took for took, _ in samples)
    found["1,000 by the index"], _ = timed(lambda: search.find_rows(wanted(*asked)))
    found["index, not found"], result = timed(lambda: search.find_rows(wanted(nowhere)))
    assert result.by_index >= number
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options("Time searches for the rows that hold a token.", rounds=15)
    parser.add_argument("--tokens", type=int, default=20_000, metavar="N")
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox.start(connections=60))
        os.environ.update(sandbox.settings(), KEYDECK_TOKEN_INDEX="1")
        services = stack.enter_context(closing(Container(load().settings)))
        install(services.engine)
        fill(sandbox, chosen.tokens)
        found = measure(services, chosen.tokens, chosen.rounds)
    times_verify = (found["one"] / found["opened"]) / (found["verify"] / found["verified"])
    targets = (Target("a search opens as fast as verify, times", times_verify, SHARE, "x"),)
    return report(
        targets,
        ("what", "seconds or tokens"),
        [(name, f"{value:,.3f}") for name, value in found.items()],
        as_json=chosen.json,
        packages=("psycopg2-binary", "aiohttp"),
    )


if __name__ == "__main__":
    sys.exit(main())
