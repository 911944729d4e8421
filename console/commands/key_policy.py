"""keydeck keys policy: a key's policy, in words, compared with another, or the least that our roles need."""

from __future__ import annotations

from typing import IO

import click

from console.commands.output_options import json_option
from console.commands.session import services_of, together
from console.completion.offers import key_names
from console.printed.output import print_json, say
from crypto_core.keys.policy.comparison import PolicyComparison, compare, written
from crypto_core.keys.policy.document import MOST_BYTES, parse_policy
from crypto_core.keys.policy.least_privilege import Role, least_privilege
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.values.errors import PolicyError

_WHO = "With --generate: an IAM role, user or account that is {role}."


@click.command()
@click.argument("key", shell_complete=key_names)
@click.option("--explain", "explained", is_flag=True, help="Say in words who may do what, grants included.")
@click.option("--generate", is_flag=True, help="Print the policy that gives each role the least it needs.")
@click.option(
    "--diff", "other", type=click.File("rb"), metavar="FILE", help="Compare with the policy in FILE."
)
@together(
    *(
        click.option(f"--{role}", role.value, multiple=True, metavar="ARN", help=_WHO.format(role=role))
        for role in Role
    )
)
@json_option
def policy(
    *,
    key: str,
    explained: bool,
    generate: bool,
    other: IO[bytes] | None,
    as_json: bool,
    **roles: tuple[str, ...],
) -> None:
    """Print the policy of a key. KEY is a key ARN, key id, alias or alias ARN.

    Nothing is changed. What --generate prints can be written to a file and compared by --diff.
    """
    if explained + generate + (other is not None) > 1:
        raise click.UsageError("Choose one of --explain, --generate and --diff.")
    principals = {Role(name): arns for name, arns in roles.items() if arns}
    if principals and not generate:
        raise click.UsageError(f"--{next(iter(principals))} goes with --generate.")
    if generate and not principals:
        raise click.UsageError("Name at least one principal: --platform ARN, --inspector ARN, …")
    then = parse_policy(policy_text(other)) if other is not None else None
    with services_of() as services:
        if generate:
            print_json(least_privilege(services.services.keys.show(key).key_arn, principals))
            return
        now = services.services.policies.read(key)
    for part, why in now.missing.items():
        say(f"Not covered: {part}: {why}")
    if then is not None:
        _show_comparison(compare(now.document, then, now.key.key_arn), as_json=as_json)
    elif explained:
        _show_sentences(now, as_json=as_json)
    elif as_json:
        print_json(
            {
                "key_arn": now.key.key_arn,
                "policy": now.document.raw,
                "grants": [grant.as_json() for grant in now.grants],
                "missing": dict(now.missing),
            }
        )
    else:
        click.echo(written(now.document.raw))


def policy_text(file: IO[bytes]) -> str:
    """Return what a file has for a policy's text. Raises PolicyError for what is no text."""
    raw = file.read(MOST_BYTES + 1)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"{file.name} is not UTF-8 text.") from error


def _show_sentences(now: KeyPolicy, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "key_arn": now.key.key_arn,
                "statements": [sentence.as_json() for sentence in now.sentences],
                "missing": dict(now.missing),
            }
        )
        return
    for sentence in now.sentences:
        click.echo(str(sentence))


def _show_comparison(found: PolicyComparison, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
        return
    if found.same:
        click.echo("No difference.")
        return
    for change in found.changes:
        click.echo(str(change))
    if not found.changes:
        click.echo("No principal gains or loses anything.")
    click.echo()
    for line in found.lines:
        click.echo(line)
