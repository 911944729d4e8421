"""keydeck evidence status: what of published controls is met, as far as Keydeck measures it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import groupby
from typing import Any

import click
from click.shell_completion import CompletionItem

from console.commands.estate_options import estate_option
from console.commands.output_options import rows_option
from console.commands.session import services_of
from console.evidence.services import EvidenceServices
from console.host.interrupts import cancelled_by_interrupt
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import say
from console.printed.terminal import styled
from crypto_core.compliance.answer import ControlAnswer, ControlStatus
from crypto_core.compliance.assessment import Assessment, Judgement
from crypto_core.values.counts import counted
from screens.compliance.grid import CONTROL_SIGNS, ControlState, control_state, count_words

_INDENT = " " * 6
_MOST_LINES = 4
_DAY = click.DateTime(["%Y-%m-%d"])


def complete_frameworks(
    _ctx: click.Context, _param: click.Parameter, typed: str
) -> list[CompletionItem[Any]]:
    from crypto_core.compliance.library import ControlLibrary

    return [CompletionItem(name) for name in ControlLibrary().read().frameworks if name.startswith(typed)]


@click.command()
@click.option(
    "--framework",
    default="",
    metavar="NAME",
    shell_complete=complete_frameworks,
    help="Only one of them: soc2, pci, iso, asvs, owasp, nist, or one of the team's own.",
)
@click.option("--from", "since", type=_DAY, metavar="DATE", help="The first day (UTC) of a period.")
@click.option("--to", "until", type=_DAY, metavar="DATE", help="Its last day [today].")
@estate_option
@rows_option
def status(*, framework: str, since: datetime | None, until: datetime | None, form: Form) -> int:
    """Say which controls are met now, by framework, the worst first, with the evidence.

    Nothing is claimed beyond what is measured, and what is missing is never met. Exit code 1 if a control is
    not met; those with an exception don't count. 2 if a catalogue can't be read. 3 if none is, but something
    could not be read.

    With --from it says how they stood over days, by the records of evidence: spans, lapses with what began
    and ended them, and days without a record. Then exit code 1 is for a lapse without an exception and for
    records that are wrong, 3 for days without a record.
    """
    if since is not None:
        return _period(framework, since.date(), until, form)
    if until is not None:
        raise click.UsageError("--to needs --from: name the first day, too.")
    with services_of() as services, cancelled_by_interrupt() as cancelled:
        found = services.of(EvidenceServices).compliance.assess_now(framework, cancelled=cancelled)
    print_listing(_listing(found), form)
    for trouble in found.controls.troubles:
        say(trouble)
    return _code(found)


def _period(framework: str, since: date, until: datetime | None, form: Form) -> int:
    from console.evidence.printed_period import period_code, period_listing

    with services_of() as services, cancelled_by_interrupt() as cancelled:
        last = until.date() if until else services.of(EvidenceServices).periods.clock().date()
        found = services.of(EvidenceServices).periods.of(since, last, framework, cancelled=cancelled)
        troubles = services.of(EvidenceServices).controls.read().troubles
    print_listing(period_listing(found), form)
    for trouble in troubles:
        say(trouble)
    code = period_code(found)
    return 2 if troubles and code != 1 else code


def _code(found: Assessment) -> int:
    if found.fails:
        return 1
    if found.controls.troubles:
        return 2
    return 3 if found.failed else 0


def _listing(found: Assessment) -> Printout[Judgement]:
    return Printout(
        name="controls",
        schema="control",
        rows=found.judgements,
        text=lambda rows: _text(found, rows),
        rest=lambda: {
            "taken_at": found.taken_at.isoformat(),
            "counts": {status.value: found.count(status) for status in ControlStatus},
            "catalogues": [one.as_json() for one in found.controls.catalogues],
            "troubles": list(found.controls.troubles),
        },
    )


def _text(found: Assessment, rows: Iterable[Judgement]) -> Iterator[str]:
    yield f"{count_words(map(_state, found.judgements))}, as measured {found.taken_at:%Y-%m-%d %H:%M} UTC"
    for _, judged in groupby(rows, key=lambda one: one.control.framework.id):
        theirs = tuple(judged)
        standards = dict.fromkeys(
            f"{j.control.framework.title} {j.control.framework.edition}" for j in theirs
        )
        yield ""
        yield f"{theirs[0].control.framework.id}: {'; '.join(standards)}: {count_words(map(_state, theirs))}"
        for one in theirs:
            yield from _lines(one)


def _state(one: Judgement) -> ControlState:
    return control_state(one.status, excepted=one.exemption is not None, asked=bool(one.control.tests))


def _lines(one: Judgement) -> Iterator[str]:
    control = one.control
    sign, style = CONTROL_SIGNS[_state(one)]
    owner = f" [{control.owner}]" if control.owner else ""
    yield f"  {styled(sign, style)} {control.number} {control.title}{owner}"
    yield f"{_INDENT}{one.words}"
    for name, answer in one.answers:
        yield from _evidence(name, answer)
    if control.limit:
        yield f"{_INDENT}limit: {control.limit}"


def _evidence(name: str, answer: ControlAnswer) -> Iterator[str]:
    """The evidence of a test, the worst first; of what is met one line will do."""
    most = 1 if answer.status is ControlStatus.MET else _MOST_LINES
    for number, line in enumerate(answer.lines[:most]):
        sign = CONTROL_SIGNS[control_state(answer.status)].text
        yield f"{_INDENT}{sign} {name}: {line}" if not number else f"{_INDENT}  {line}"
    if (more := len(answer.lines) - most) > 0 and most > 1:
        yield f"{_INDENT}  {counted(more, 'more line')} in --json"
