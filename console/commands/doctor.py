"""keydeck doctor."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator

import click

from console.commands.output_options import json_option
from console.commands.session import loaded
from console.printed.output import print_json
from console.printed.terminal import styled
from crypto_core.diagnosis import Check, CheckOutcome, examine
from crypto_core.values.counts import counted
from screens.signs import Sign

_SIGNS = {
    CheckOutcome.OK: Sign("●", "$success"),
    CheckOutcome.WARNING: Sign("▲", "$warning"),
    CheckOutcome.FAILED: Sign("✖", "$error"),
    CheckOutcome.UNKNOWN: Sign("?", "$warning"),
    CheckOutcome.SKIPPED: Sign("·", ""),
}
_NAME_WIDTH = 30
_INDENT = " " * 13


@click.command()
@json_option
def doctor(*, as_json: bool) -> int:
    """Look whether all is in place: machine, settings, database, AWS, cryptography, events. Changes nothing.

    Where receipts are written, it once makes a data key, decrypts it twice, and looks for the calls' request
    ids among CloudTrail's records, so that receipts are known to be joined rightly. Run it again for that.

    Exit code 1 if anything has failed, 2 if the settings can't be used.
    """
    from console.checks.diagnosis import all_areas
    from console.commands.mfa_prompt import code_from_terminal
    from console.settings import LoadedSettings
    from crypto_core.values.errors import SettingsError

    settings: LoadedSettings | SettingsError
    try:
        settings = loaded()
    except SettingsError as error:
        settings = error
    found = examine(all_areas(settings, ask_code=code_from_terminal), in_order=True)
    checks = list(found if as_json else _printed(found))
    counts = Counter(check.outcome for check in checks)
    if as_json:
        print_json(
            {
                "checks": [c.as_json() for c in checks],
                "summary": {
                    "well": not counts[CheckOutcome.FAILED],
                    **{o.value: counts[o] for o in CheckOutcome},
                },
            }
        )
    else:
        click.echo()
        click.echo(_sentence(counts))
    if isinstance(settings, SettingsError):
        return 2
    return 1 if counts[CheckOutcome.FAILED] else 0


def _printed(checks: Iterable[Check]) -> Iterator[Check]:
    """Pass the checks on, each printed as it comes, a heading before each area."""
    area = None
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for check in checks:
        if check.area != area:
            if area is not None:
                click.echo()
            area = check.area
            click.echo(area)
        for line in lines(check, width):
            click.echo(line)
        yield check


def lines(check: Check, width: int = 0) -> list[str]:
    """Return a check as aligned lines: sign, word, name, what was found; below it what to do.

    With a `width` in characters longer texts are folded; 0 leaves them on their line, for grep.
    """
    sign = _SIGNS[check.outcome]
    lead = f"  {sign.text} {check.outcome.value:8} {check.name:{_NAME_WIDTH}}"
    indent = " " * (len(_INDENT) + _NAME_WIDTH + 1)
    shown = _folded(f"{lead} {check.said}".rstrip(), indent if width > 100 else _INDENT, width)
    mark = f"{sign.text} {check.outcome.value}"
    shown[0] = shown[0].replace(mark, styled(mark, sign.style), 1)
    if check.remedy:
        shown += _folded(f"{_INDENT}→ {check.remedy}", f"{_INDENT}  ", width)
    return shown


def _folded(line: str, indent: str, width: int) -> list[str]:
    if not width or len(line) <= width:
        return [line]
    # Spaces between columns are kept: only what is too long is folded.
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _sentence(counts: Counter[CheckOutcome]) -> str:
    told = [f"{counts[o]:,} {o.value}" for o in CheckOutcome if counts[o]]
    verdict = "not well" if counts[CheckOutcome.FAILED] else "well"
    return f"{verdict}: {counted(sum(counts.values()), 'check')}, {', '.join(told)}"
