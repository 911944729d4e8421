"""The dry run: what would happen to which tokens, and the question whether it should."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.guard.consent import Consent
from crypto_core.key_names import short_key
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.text.counting import counted
from screens.facts import Facts
from screens.reencryption.choose_key import ABOUT
from screens.widgets.cells import tokens
from screens.widgets.plan_dialog import WARNING, PlanDialog

SHOWN = 50
"""How many refused tokens are named one by one."""


class Preview(PlanDialog[Plan, tuple[Plan, Consent]]):
    """Returns the plan with the operator's consent to it, else None."""

    def __init__(self, facts: Facts, verb: Verb, selection: Selection, target: str) -> None:
        super().__init__(facts, verb.words.capitalize())
        self._verb = verb
        self._selection = selection
        self._target = target

    def make(self, cancelled: Cancellation) -> Plan:
        """Ask for the plan."""
        return self.facts.services.work.plan_reencryption(self._verb, self._selection, self._target)

    def content(self, plan: Plan) -> Content:
        """What would happen to which tokens."""
        return plan_content(plan)

    def label(self, plan: Plan) -> str:
        """What would be done, to how many tokens."""
        return f"{plan.verb.words.capitalize()} {tokens(plan.tokens)}" if plan.tokens else ""

    def go_on(self, plan: Plan, consent: Consent) -> None:
        """Hand it on."""
        self.dismiss((plan, consent))


def plan_content(plan: Plan, kms_calls: int | None = None) -> Content:
    """Return the plan as lines: what, where, at what cost, with which warnings, and what stays as it is.

    `kms_calls` is what a job takes.
    """
    calls = counted(plan.kms_calls if kms_calls is None else kms_calls, "call")
    lines: list[Content] = []
    if plan.tokens:
        name = f"{plan.target_name} {short_key(plan.target_key_arn)}".strip()
        lines += [
            Content.assemble((tokens(plan.tokens), "bold"), " would be written under ", (name, "bold")),
            Content.assemble((f"{calls} of KMS, of the quota that production shares", "$muted")),
            *(_column(name, count) for name, count in sorted(plan.by_column.items())),
            *(_column(f"{c.source} becomes {c.written}", c.tokens) for c in plan.conversions if c.changes),
        ]
        if plan.verb is Verb.REWRAP:
            lines.append(Content.assemble(WARNING, ABOUT[Verb.REWRAP]))
        lines += [Content.assemble(WARNING, warning) for warning in plan.warnings]
    else:
        lines.append(Content.assemble(("Nothing would be written.", "bold")))
    lines += [Content.assemble(WARNING, "not seen: ", reason) for reason in plan.coverage.reasons]
    if plan.refused:
        count = len(plan.refused)
        words = f"{tokens(count)} would be left as {'it is' if count == 1 else 'they are'}:"
        lines += [Content(""), Content.assemble(("✖ ", "$error"), (words, "bold"))]
        lines += unwritten_lines(plan.refused)
    return Content("\n").join(lines)


def _column(name: str, count: int) -> Content:
    return Content.assemble(f"{count:>9,}  ", name)


def unwritten_lines(unwritten: Sequence[Unwritten]) -> list[Content]:
    """Return each reason with the tokens that it holds for, and how many more there are than are named."""
    by_reason: dict[str, list[str]] = {}
    for token in unwritten[:SHOWN]:
        by_reason.setdefault(token.reason, []).append(token.reference)
    lines = []
    for reason, references in by_reason.items():
        lines.append(Content(f"  {reason}"))
        lines += [Content.assemble(("    " + reference, "$muted")) for reference in references]
    if len(unwritten) > SHOWN:
        lines.append(Content(f"  and {len(unwritten) - SHOWN:,} more"))
    return lines
