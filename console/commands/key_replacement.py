"""keydeck keys replace, keydeck keys materials: rotation by hand guided, rotation by KMS shown."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import click

from console.commands.moments import time_option
from console.commands.output_options import json_option
from console.commands.session import services_of
from console.completion.offers import key_names
from console.host.interrupts import cancelled_by_interrupt
from console.printed.output import meter, print_answer, print_gaps, print_line, print_table, say
from crypto_core.incidents.keys.rotation.guide import (
    IN_USE,
    SHORTEST_SECONDS,
    Guide,
    GuideStep,
    GuideStepState,
    watch,
)
from crypto_core.incidents.keys.rotation.verdict import DoKind
from crypto_core.reencryption.materials import KeyMaterials, MaterialTokens
from screens.keys.words import STEPS


@click.command()
@click.argument("old", shell_complete=key_names, metavar="OLD")
@click.option(
    "--by",
    "new",
    shell_complete=key_names,
    metavar="NEW",
    help="The key that takes its place [the configured one].",
)
@click.option("--wait", is_flag=True, help="Repeat until the platform uses NEW.")
@click.option(
    "--interval",
    type=click.FloatRange(min=SHORTEST_SECONDS),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help=f"With --wait: seconds between two checks, {SHORTEST_SECONDS:g} at least.",
)
@time_option("--since", "When the last instance of the platform was switched: count only what came after.")
@click.option(
    "--except",
    "accepted",
    multiple=True,
    metavar="PRINCIPAL",
    help="Who may do less under NEW: an ARN or account; * and ? as in IAM.",
)
@json_option
def replace(
    *,
    old: str,
    new: str | None,
    wait: bool,
    interval: float,
    since: datetime | None,
    accepted: tuple[str, ...],
    as_json: bool,
) -> int:
    """Guide through replacing the key OLD by another one. Changes nothing itself.

    Shows which steps are done, according to KMS and the database, and the exact command or line for the
    next one. Exit 0 once it is complete, 1 while steps are left or something is not covered. Name OLD by its
    ARN: an alias may be moved.
    """
    with services_of() as services:
        read = partial(services.services.replacement.read_guide, old, new, since=since, accepted=accepted)
        if not wait:
            guide = read()
        else:
            with cancelled_by_interrupt("Stopped waiting.") as cancelled:
                told: GuideStep | None = None
                looks = watch(
                    partial(read, cancelled=cancelled),
                    every=interval,
                    cancelled=cancelled,
                    missed=lambda error: say(f"The check failed and will be retried: {error}"),
                )
                for guide in looks:
                    step = guide.step(IN_USE)
                    if step != told and not guide.in_use:
                        _tell_waiting(guide)
                    told = step
    print_answer(guide, print_guide, as_json=as_json)
    if guide.outside:
        say(f"The database did not answer: {guide.outside}")
        return 3
    return 0 if guide.complete else 1


@click.command()
@click.argument("key", shell_complete=key_names)
@click.option(
    "--verify",
    type=click.IntRange(min=1, max=100_000),
    metavar="N",
    help="Open up to N tokens on each material; says only whether they opened.",
)
@json_option
def materials(*, key: str, verify: int | None, as_json: bool) -> int:
    """Show how many tokens are on which key material of KEY. Exit 1 if a token that was tried did not open.

    Rotation re-encrypts nothing: a token stays on the material that sealed it, and opens with it.
    """
    trust = (key,) if verify else ()
    with (
        services_of(trust=trust) as services,
        cancelled_by_interrupt() as cancelled,
        meter("verify") as shown,
    ):
        found = services.services.materials.examine_materials(
            key, verify=verify or 0, progress=shown.update, cancelled=cancelled
        )
    print_answer(found, lambda found: _print_materials(found, tried=verify is not None), as_json=as_json)
    return 1 if found.failed else 0


def print_guide(guide: Guide) -> None:
    click.echo(f"old key: {_named(guide.old.name, guide.old.key_arn)}")
    click.echo(f"new key: {_named(guide.new.name, guide.new.key_arn) if guide.new else 'none yet'}")
    for step in guide.steps:
        click.echo()
        optional = " (optional)" if step.optional else ""
        click.echo(f"{STEPS[step.state].text} {step.number}. {step.step.title}{optional}: {step.state.value}")
        for text in step.verdict.evidence:
            _line("", text)
        _print_instructions(step)
        for text in step.verdict.warnings:
            _line("Note: ", text)
    click.echo()
    click.echo(guide.words)
    print_gaps(guide.coverage.reasons)


def _print_instructions(step: GuideStep) -> None:
    first = "Later: " if step.state is GuideStepState.WAITING else "Do: "
    for instruction in step.verdict.do:
        _line(first, instruction.text)
        if instruction.instead_of:
            _line("  instead of: ", instruction.instead_of)
        elif instruction.kind is DoKind.SETTING:
            _line("  in the environment of Keydeck and of the platform; ", "it is not set now")


def _line(before: str, text: str) -> None:
    click.echo(f"     {before}{text}")


def _named(name: str, key_arn: str) -> str:
    return key_arn if name.startswith("…") else f"{name}  {key_arn}"


def _tell_waiting(guide: Guide) -> None:
    evidence = "; ".join(guide.step(IN_USE).verdict.evidence)
    say(f"{guide.taken_at:%H:%M:%S %Z} waiting: {evidence or 'there is no new key yet'}")


def _print_materials(found: KeyMaterials, *, tried: bool) -> None:
    click.echo(f"{_named(found.key.name, found.key.key_arn)}  {found.key.state}")
    headers = ["", "material", "state", "since", "came by", "tokens", "evidence"]
    rows = [[*_material(m), *([_opened(m)] if tried else [])] for m in found.materials]
    print_table([*headers, *(["opened"] if tried else [])], rows)
    for failure in found.failed:
        print_line(f"not opened: {failure.ref}: {failure.reason}")
    print_gaps(found.coverage.reasons)


def _material(m: MaterialTokens) -> list[object]:
    since = m.material.since if m.material else None
    came = (m.material.rotation or "creation") if m.material else "not told"
    evidence = m.evidence.value if m.evidence else "-"
    return [
        m.number if m.number is not None else "?",
        m.key_material_id or "not told",
        (m.material.state if m.material else None) or "not told",
        f"{since:%Y-%m-%d %H:%M}" if since else "?",
        came.lower().replace("_", " "),
        m.tokens,
        f"{evidence} ({m.asked:,} asked)" if m.evidence and m.evidence.value == "inferred" else evidence,
    ]


def _opened(m: MaterialTokens) -> str:
    return f"{m.opened:,} of {len(m.tried):,}" if m.tried else "-"
