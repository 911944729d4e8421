"""keydeck abilities: what tokens can do, and in which order to revoke them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from console.commands.estate_options import estate_option
from console.commands.output_options import rows_option
from console.commands.questions import consent_to, yes_option
from console.commands.session import services_of, trust_option
from console.completion.offers import token_references
from console.forensics.services import ForensicsServices
from console.host.interrupts import cancelled_by_interrupt
from console.printed.forms import Form
from console.printed.lists import Printout, print_listing
from console.printed.output import meter, print_gaps, print_line, say
from crypto_core.lists.coverage import Coverage
from crypto_core.providers.answers import Liveness
from crypto_core.values.counts import counted, listed
from crypto_core.values.references import parse_reference

if TYPE_CHECKING:
    from console.container import Container
    from crypto_core.forensics.abilities.service import AbilityRequest, AbilityService
    from crypto_core.incidents.model import Incident
    from crypto_core.incidents.revocation_order import RankedToken
    from crypto_core.providers.abilities import TokenAbilities
    from crypto_core.providers.answers import ByHand
    from crypto_core.values.references import TokenRef

_STOP = (
    "Stopping. What was answered is kept: the same command goes on from there. Press again to stop at once."
)


@click.command()
@estate_option
@click.argument("references", nargs=-1, shell_complete=token_references, metavar="[REF]...")
@click.option("--filter", "expression", default="", metavar="EXPR", help="The tokens that it is about.")
@click.option("--incident", "name", default="", metavar="INC-N", help="The tokens of an incident.")
@click.option("--order", "by_order", is_flag=True, help="The order in which to revoke them, with reasons.")
@click.option("--kept", is_flag=True, help="Ask nobody: print the answers that are kept.")
@click.option(
    "--max-age",
    type=click.FloatRange(min=0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Do not ask again where there is an answer that is younger.",
)
@trust_option
@yes_option
@rows_option
def abilities(
    *,
    references: tuple[str, ...],
    expression: str,
    name: str,
    by_order: bool,
    kept: bool,
    max_age: float,
    trust: tuple[str, ...],
    yes: bool,
    form: Form,
) -> int:
    """Ask each token's provider what the token can do, by calls that read.

    Each token is opened and sent to its own provider alone. The answers are kept on this machine, in a file
    that only you read. A run that is stopped goes on where it was.

    Exit 1 if what one of the tokens can do is not known.
    """
    if sum(map(bool, (references, expression, name))) != 1:
        raise click.UsageError("Name references, --filter or --incident.")
    with services_of(trust=trust) as services:
        incident = _incident(services, name) if name else None
        refs, gaps = _tokens(services, references, expression, incident)
        asking = services.of(ForensicsServices).abilities
        if not kept:
            request = asking.question(refs, max_age=timedelta(hours=max_age))
            not_asked = _asked(asking, request, yes=yes)
        else:
            not_asked = ()
        known = asking.kept(refs)
        unknown = [ref for ref in refs if ref not in known or not known[ref].whole]
        reasons = (*gaps, *_gaps(unknown, not_asked))
        if by_order:
            _print_order(_ordered(services, refs, incident), reasons, form)
        else:
            _print_answers([known[ref] for ref in sorted(known)], not_asked, reasons, form)
    if form is not Form.JSON and form is not Form.YAML:
        print_gaps(reasons)
    return 1 if unknown else 0


def _tokens(
    services: Container, references: Sequence[str], expression: str, incident: Incident | None
) -> tuple[list[TokenRef], tuple[str, ...]]:
    if incident is not None:
        from crypto_core.incidents.tokens.scope_tokens import ScopedTokens

        found = ScopedTokens(services.incident_response.tool_services()).resolve(incident)
        return list(found.refs), found.gaps
    if expression:
        pages = services.services.inventory.references(expression)
        return sorted(ref for page in pages for ref in page), ()
    catalogue = services.catalogue()
    named = (catalogue.references(parse_reference(text)) for text in references)
    return sorted({ref for refs in named for ref in refs}), ()


def _incident(services: Container, name: str) -> Incident:
    number = name.upper().removeprefix("INC-")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise click.BadParameter("An incident is named as in INC-7.", param_hint="--incident")
    return services.incident_response.incidents.show(int(number)).incident


def _asked(asking: AbilityService, request: AbilityRequest, *, yes: bool) -> tuple[ByHand, ...]:
    """Ask, unless there is nobody to ask; returns whom nobody can be asked about. Raises KeydeckError."""
    if not request.tokens:
        return request.not_asked
    for line in request.does():
        say(line)
    consent = consent_to(
        request,
        "Ask?",
        yes=yes,
        about="Asking sends tokens to their providers.",
        otherwise="; --kept asks nobody",
    )
    with cancelled_by_interrupt(_STOP) as cancelled, meter("asked") as shown:
        asking.ask(request, consent, progress=shown.show, cancelled=cancelled)
    return request.not_asked


def _ordered(
    services: Container, refs: Sequence[TokenRef], incident: Incident | None
) -> tuple[RankedToken, ...]:
    from crypto_core.incidents.revocation_order import Suspicion
    from crypto_core.incidents.tokens.revoke_tokens import suspicion_of

    suspicion = (
        suspicion_of(services.incident_response.suspects, incident) if incident is not None else Suspicion()
    )
    return services.incident_response.ordering.order_of(refs, suspicion)


def _gaps(unknown: Sequence[TokenRef], not_asked: Sequence[ByHand]) -> tuple[str, ...]:
    hand = {one.ref for one in not_asked}
    silent = [str(ref) for ref in unknown if ref not in hand]
    reasons = [f"{one.ref}: nobody can be asked: {one.how}" for one in not_asked]
    if silent:
        reasons.append(f"Not answered, or not wholly: {listed(silent, 5)}.")
    return tuple(reasons)


def _print_answers(
    answers: Sequence[TokenAbilities], not_asked: Sequence[ByHand], reasons: tuple[str, ...], form: Form
) -> None:
    print_listing(
        Printout(
            name="abilities",
            schema="abilities",
            rows=answers,
            headers=("reference", "", "admin", "writes", "reads private", "reaches", "until", "asked"),
            cells=_cells,
            spare=("asked", "reaches"),
            rest=lambda: {
                "not_asked": [
                    {"reference": str(one.ref), "provider": one.provider, "why": one.how} for one in not_asked
                ],
                "coverage": Coverage(reasons).as_json(),
            },
        ),
        form,
    )
    if form is Form.TABLE and len(answers) == 1:
        for line in answers[0].lines():
            print_line(line)


def _cells(one: TokenAbilities) -> tuple[str, ...]:
    alive = one.liveness is Liveness.ALIVE
    reach = str(one.repositories or "") or listed(one.places, 2)
    return (
        str(one.ref),
        one.liveness.value,
        *(_word(value) if alive else "" for value in (one.admin, one.writes, one.reads_private)),
        reach if alive else "",
        (one.lasts or "not known") if alive else "",
        f"{one.at:%Y-%m-%d %H:%M}",
    )


def _word(value: bool | None) -> str:
    return "not known" if value is None else "yes" if value else "no"


def _print_order(order: Sequence[RankedToken], reasons: tuple[str, ...], form: Form) -> None:
    print_listing(
        Printout(
            name="order",
            schema="order",
            rows=order,
            headers=("", "score", "reference", "why"),
            cells=lambda one: (str(one.rank), f"{one.score:,}", str(one.ref), one.why),
            rest=lambda: {"coverage": Coverage(reasons).as_json()},
        ),
        form,
    )
    if form is Form.TABLE and order:
        print_line(f"Worst first: {order[0].ref}, score {order[0].score:,}:")
        for reason in (*order[0].damage, *order[0].exposure):
            print_line(f"  {reason}")
        dead = sum(one.dead for one in order)
        if dead:
            print_line(f"{counted(dead, 'token')} dead: last.")
