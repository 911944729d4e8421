"""A change of a key from its preview to its effect: nothing is done before the operator has agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.guard.consent import Consent
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.plan import ChangedFact, ChangePlan, ChangeResult
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import WARNING, PlanDialog

MOST_LINES = 400
"""Lines of a policy's difference that are shown."""
_BAD = ("✖ ", "$error")
_GOOD = ("● ", "$success")


class ChangeDialog(PlanDialog[ChangePlan, ChangeResult]):
    """Returns what came of the change, None if nothing was tried."""

    DEFAULT_CSS = """
    ChangeDialog #typed { width: 100%; }
    """

    def __init__(self, facts: Facts, change: Callable[[], KeyChange]) -> None:
        """`change` says what is to be changed; it may block, and raise what a plan may."""
        super().__init__(facts, "")
        self._change = change
        self._result: ChangeResult | None = None

    def make(self, cancelled: Cancellation) -> ChangePlan:
        """Ask for the plan."""
        return self.facts.services.key_changes.plan_change(self._change(), cancelled=cancelled)

    def content(self, plan: ChangePlan) -> Content:
        """What would be changed."""
        return plan_content(plan)

    def heading(self, plan: ChangePlan) -> str:
        """The change and its key."""
        return plan.title

    def label(self, plan: ChangePlan) -> str:
        """The change."""
        return "" if plan.changes_nothing else plan.title

    def go_on(self, plan: ChangePlan, consent: Consent) -> None:
        """Make the change."""
        self.under_way(f"{plan.title}: under way", "Asking KMS, then reading the effect back…")
        run = self.facts.services.key_changes.make_change
        self._asked = ask(
            self,
            lambda cancelled: run(plan, consent, cancelled=cancelled),
            self._end,
            group="change",
            limit=self.LIMIT_SECONDS,
        )

    def _end(self, outcome: ChangeResult | Trouble) -> None:
        """Show what came of it."""
        if isinstance(outcome, Trouble):
            self.tell("Not done", trouble_content(outcome), leave="Close")
            return
        self._result = outcome
        self.tell(outcome.plan.title, result_content(outcome), leave="Close")

    def action_leave(self) -> None:
        """Close. A change that is under way is asked to stop; what KMS has done by then stays done."""
        self.dismiss(self._result)


def plan_content(plan: ChangePlan) -> Content:
    """Return what a change does and does not do, what it is about, and what to beware of."""
    lines = [Content.assemble((plan.key_name, "bold"), f"  {plan.region}")]
    if plan.key_arn:
        lines.append(Content.assemble((plan.key_arn, "$muted")))
    if plan.changes_nothing:
        lines += [Content(""), Content.assemble(_GOOD, ("It is so already: nothing is to be done.", "bold"))]
    if plan.refused_unless_typed:
        lost = f"{plan.tokens} can't be opened while the key can't be used. Refused unless you type "
        lines += [Content(""), Content.assemble(_BAD, (lost, "bold"), plan.confirmation, ".")]
        if plan.tokens is not None:
            lines += [Content.assemble(WARNING, "not counted: ", gap) for gap in plan.tokens.gaps]
    lines += [Content(""), *(Content(f"• {text}") for text in plan.does)]
    lines += [Content.assemble(("◦ ", "$muted"), text) for text in plan.does_not]
    lines += [Content.assemble(WARNING, text) for text in plan.warnings]
    lines += _facts(plan.facts)
    if plan.policy_changes:
        lines += [Content(""), *(Content(f"• {text}") for text in plan.policy_changes)]
    if plan.policy_lines:
        lines += [Content(""), *(_difference(line) for line in plan.policy_lines[:MOST_LINES])]
        if len(plan.policy_lines) > MOST_LINES:
            lines.append(Content(f"and {len(plan.policy_lines) - MOST_LINES:,} more lines"))
    if plan.operations:
        calls = ", ".join(f"kms:{operation}" for operation in plan.operations)
        lines += [Content(""), Content.assemble((f"calls {calls}", "$muted"))]
    return Content("\n").join(lines)


def result_content(result: ChangeResult) -> Content:
    """Return what became of a change: what was seen of it, never what was concluded."""
    if result.verified and not result.stopped_by:
        lines = [Content.assemble(_GOOD, ("Done, and seen to be so.", "bold"))]
    elif result.stopped_by:
        lines = [Content.assemble(_BAD, (result.stopped_by, "bold"))]
        if result.verified:
            lines.append(Content.assemble(_GOOD, "The effect is there all the same."))
    else:
        lines = [Content.assemble(WARNING, ("Done, as KMS says, but the effect was not seen.", "bold"))]
    if result.unverified:
        lines.append(Content.assemble(WARNING, result.unverified))
    if result.done and (result.stopped_by or not result.verified):
        lines.append(Content(f"Carried out: {', '.join(f'kms:{operation}' for operation in result.done)}."))
    if result.key_arn:
        lines.append(Content.assemble((result.key_arn, "$muted")))
    lines += _facts(result.facts)
    if result.next_steps:
        lines += [Content(""), *(Content(f"→ {step}") for step in result.next_steps)]
    if result.unjournaled:
        lines += [Content(""), Content.assemble(WARNING, "not in the journal: ", result.unjournaled)]
    return Content("\n").join(lines)


def _facts(facts: Iterable[ChangedFact]) -> list[Content]:
    shown, facts = [], tuple(facts)
    width = max((len(fact.name) for fact in facts), default=0)
    for fact in facts:
        before, after = fact.before, fact.after
        changed = before != after
        value = Content.assemble(before, " → ", (after, "bold")) if changed else Content(before)
        shown.append(Content.assemble((fact.name.ljust(width), "$muted"), "  ", value))
    return [Content(""), *shown] if shown else []


def _difference(line: str) -> Content:
    style = "$success" if line.startswith("+") else "$error" if line.startswith("-") else "$muted"
    return Content.assemble((line, style))
