"""The keydeck command: one executable; each subcommand lives in a module of its own, imported when used."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from console.capabilities import added_commands, main_screens, placed
from console.completion import COMPLETING
from console.exit_codes import exit_code, exit_codes_text
from console.lazy_commands import LazyGroup
from console.printed.encodings import write_plain_where_needed
from console.printed.pager import no_pager_option
from console.secrecy import guard_process

_COMMANDS: dict[str, tuple[str, str]] = {
    "status": ("console.commands.status", "Count tokens by format, column, KMS key and key material."),
    "check": ("console.commands.status", "Exit 1 unless every token is protected."),
    "estates": (
        "console.commands.estates",
        "Say how every estate stands: databases and accounts side by side.",
    ),
    "findings": ("console.commands.findings", "List what is wrong with keys, access and trails."),
    "discover": ("console.commands.discover", "Find tokens that no inventory knows, and propose entries."),
    "metrics": ("console.commands.metrics", "Print census, operations and KMS latency for Prometheus."),
    "connections": ("console.commands.connections", "List tokens: state, key, evidence."),
    "inspect": ("console.commands.connections", "Show one envelope, field by field."),
    "verify": ("console.commands.verify", "Open tokens and say only whether they opened."),
    "rewrap": ("console.commands.reencryption", "Move data keys to another KMS key."),
    "reencrypt": ("console.commands.reencryption", "Seal tokens with new data keys."),
    "encrypt": ("console.commands.reencryption", "Encrypt plaintext and dev tokens in place."),
    "jobs": ("console.commands.jobs", "List, watch, join, pause and end jobs."),
    "backups": ("console.commands.backups", "Purge envelopes that were replaced."),
    "keys": ("console.commands.keys", "List, show and change KMS keys."),
    "events": ("console.commands.events", "CloudTrail: who used the keys, and for which token."),
    "incident": ("console.commands.incident", "Guided response: declare, work through, prove, report."),
    "approvals": ("console.commands.approvals", "Approve or deny what needs a second identity."),
    "journal": ("console.commands.journal", "List, verify and sign the journal."),
    "init": ("console.commands.init", "Create Keydeck's own schema."),
    "settings": ("console.commands.settings", "Show each setting and where it came from."),
    "grants": ("console.commands.grants", "Print the SQL privileges and IAM policy of a role."),
    "guard": ("console.commands.guard", "Have the database refuse what is no envelope."),
    "doctor": ("console.commands.doctor", "Check that everything is in place."),
    "help": ("console.commands.help", "The manual: the filter language, questions and their answers."),
    "completion": ("console.commands.completion", "Print the script that completes commands in a shell."),
}
COMMANDS = placed(_COMMANDS, added_commands())

_BEHIND = "keydeck.behind"
OPEN = frozenset({"completion", "doctor", "help", "settings"})
"""Commands that start all the same: they say what is wrong, and open nothing."""
_HELP = frozenset({"-h", "--help"})
UNREAD = 128 + signal.SIGPIPE
"""The exit code where nobody reads the output any more, as a shell has it for what SIGPIPE ends."""


class _Keydeck(LazyGroup):
    """All commands. Where nobody reads what one prints, it ends without a word."""

    def invoke(self, ctx: click.Context) -> Any:
        ctx.meta[_BEHIND] = tuple(ctx.args)  # the command reads them later
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            if not is_unread():
                raise
            ctx.exit(UNREAD)


@click.group(
    cls=_Keydeck,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exit_codes_text(),
)
@click.option("--read-only", is_flag=True, default=None, help="Refuse every change.")
@click.option(
    "--screen",
    type=click.Choice(main_screens()),
    default="status",
    show_default=True,
    help="The console's first screen.",
)
@no_pager_option
@click.version_option(package_name="keydeck")
@click.pass_context
def keydeck(ctx: click.Context, *, read_only: bool | None, screen: str) -> None:
    """Inspect and repair the encryption of API tokens; respond when a key or a token is compromised.

    Without a command, open the console.
    """
    ctx.obj = {"read_only": read_only}
    require_fips_for(ctx.invoked_subcommand, ctx.meta[_BEHIND])
    if ctx.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise click.UsageError("The console needs a terminal. For scripts: keydeck status --json.")
        from console.application.console_session import open_console

        ctx.exit(open_console(read_only=read_only, screen=screen))


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 not well, 2 usage or settings, 3 outside, 130 interrupted."""
    guard_process()
    if COMPLETING in os.environ:
        _answer_shell()
    write_plain_where_needed()
    try:
        code = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        is_unread()
        code = UNREAD
    except Exception as error:  # noqa: BLE001  # the last resort: whatever it is, it must not print values
        from crypto_core.log.tracebacks import crash_lines

        print("\n".join(crash_lines(error)), file=sys.stderr)
        code = 3
    sys.exit(code)


def is_unread() -> bool:
    """True if stdout is a pipe that nobody reads any more. What is written there from then on is lost."""
    try:
        file = sys.stdout.fileno()
    except (OSError, ValueError):  # no file behind it
        return False
    watched = select.poll()
    watched.register(file, 0)  # errors are reported without being asked for
    if not any(state & select.POLLERR for _, state in watched.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file)
    os.close(nowhere)
    return True


def _answer_shell() -> NoReturn:
    """Answer a shell that completes a word, silently, and end at once whatever is still being asked."""
    from console.completion.shells import answer

    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 2)
    with suppress(Exception):
        answer(keydeck)
        sys.stdout.flush()
    os._exit(0)


def run(arguments: list[str] | None = None) -> int:
    from crypto_core.values.errors import KeydeckError

    try:
        result: Any = keydeck.main(arguments, prog_name="keydeck", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except KeydeckError as error:
        click.echo(f"keydeck: {error}", err=True)
        return exit_code(error)
    return result if isinstance(result, int) else 0


def require_fips_for(command: str | None, arguments: Sequence[str] = ()) -> None:
    """Pass if a command may start; None is the console. `arguments` are what stands behind its name.

    Raises SettingsError. Settings that can't be used are left to the command, which says so if it needs them.
    """
    if command in OPEN or not _HELP.isdisjoint(arguments):
        return
    from console.settings import load
    from crypto_core.aws.fips import VARIABLE, require_fips, require_fips_where_set
    from crypto_core.values.errors import SettingsError

    try:
        required = bool(load().settings.fips)
    except SettingsError:
        required = False
    if required:
        require_fips()
    else:
        require_fips_where_set({VARIABLE: os.environ.get(VARIABLE, "")})


if __name__ == "__main__":
    main()
