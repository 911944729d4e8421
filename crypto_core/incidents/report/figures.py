"""The numbers of a report: of its summary, and of what became of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crypto_core.incidents.model import IncidentView, StepState
from crypto_core.incidents.report.differences import under_key
from crypto_core.incidents.report.exhibits import Exhibit
from crypto_core.incidents.report.parts import CensusPart, Named, OpenPoint, TokensPart
from crypto_core.incidents.runbooks.catalogue import CheckKind
from crypto_core.providers.answers import Liveness
from crypto_core.text.counting import counted


def figures_of(
    view: IncidentView,
    exhibits: Sequence[Exhibit],
    census: CensusPart | None,
    tokens: TokensPart,
    open_points: Sequence[OpenPoint],
) -> tuple[Named, ...]:
    """Return the figures of the summary."""
    states = [step.state for step in view.steps]
    needed = len(states) - states.count(StepState.NOT_NEEDED)
    skipped = states.count(StepState.SKIPPED)
    figures = [
        Named(
            "Steps done",
            f"{states.count(StepState.DONE)} of {needed}",
            f"{skipped} skipped" if skipped else "none skipped",
        )
    ]
    key = view.incident.scope.key
    if census is not None:
        counts: list[tuple[str, tuple[int | None, int | None]]] = [("Not protected", census.unprotected)]
        if key:
            counts.insert(0, ("Under old key", under_key(exhibits, key)))
        for name, (before, after) in counts:
            figures.append(
                Named(name, f"{before:,} → {after:,}" if after is not None else f"{before:,}", "tokens")
                if before is not None
                else Named(name, "not known")
            )
    if tokens.dead is not None:
        alive = f"{tokens.alive:,} alive" if tokens.alive is not None else ""
        figures.append(Named("Tokens dead", f"{tokens.dead:,}", alive))
    if tokens.by_hand:
        figures.append(Named("Left by hand", f"{tokens.by_hand:,}", "tokens"))
    if tokens.replaced is not None:
        figures.append(Named("Tokens replaced", f"{tokens.replaced:,}"))
    broken = sum(not exhibit.agrees for exhibit in exhibits)
    vouched = f"{broken:,} not as captured" if broken else "each as captured"
    figures.append(Named("Evidence", counted(len(exhibits), "piece"), vouched if exhibits else ""))
    worst = f"worst: {open_points[0].severity.value}" if open_points else "nothing is left"
    figures.append(Named("Open points", f"{len(open_points):,}", worst))
    return tuple(figures)


def said_of(exhibits: Sequence[Exhibit]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what providers said last of each token; and which are left to be revoked by hand."""
    said: dict[str, str] = {}
    by_hand: dict[str, str] = {}
    for exhibit in sorted(exhibits, key=lambda one: (one.evidence.captured_at, one.evidence.id)):
        # Nobody's silence takes back what was said.
        said |= {
            ref: state
            for ref, state in exhibit.liveness.items()
            if state != Liveness.UNKNOWN.value or ref not in said
        }
        by_hand.update(exhibit.by_hand)
    return said, {ref: how for ref, how in by_hand.items() if said.get(ref) != Liveness.DEAD.value}


def tokens_part(view: IncidentView, said: Mapping[str, str], by_hand: Mapping[str, str]) -> TokensPart:
    """Return what became of tokens, by what was said of them."""
    states = list(said.values())

    def told(value: str, state: Liveness) -> int | None:
        # What the steps have counted tells old tokens from new ones; a reference alone doesn't.
        kept = view.incident.values.get(value, "")
        if kept.isascii() and kept.isdigit():
            return int(kept)
        return states.count(state.value) if said else None

    dead = told("dead", Liveness.DEAD)
    return TokensPart(
        dead=dead if dead is not None else _counted_by(view, CheckKind.TOKENS_DEAD),
        alive=told("alive", Liveness.ALIVE),
        not_known=told("unknown_liveness", Liveness.UNKNOWN),
        by_hand=len(by_hand),
        replaced=_counted_by(view, CheckKind.TOKENS_REPLACED),
    )


def _counted_by(view: IncidentView, check: CheckKind) -> int | None:
    """How many a step's check had counted last."""
    results = [step.check for step in view.steps if step.step.check is check and step.check is not None]
    return results[-1].done if results and results[-1].total else None
