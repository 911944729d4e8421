"""A change of a key from its preview to its effect: nothing is done before the operator has agreed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.guard.consent import Consent, Danger, agrees
from crypto_core.keys.changes.change import KeyChange
from crypto_core.keys.changes.plan import ChangedFact, ChangePlan, ChangeResult
from crypto_core.text.cleaning import clean
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content

MOST_LINES = 400
"""Lines of a policy's difference that are shown."""
_WARNING = ("▲ ", "$warning")
_BAD = ("✖ ", "$error")
_GOOD = ("● ", "$success")


class ChangeDialog(Dialog[ChangeResult | None]):
    """Returns what came of the change, None if nothing was tried."""

    DEFAULT_CSS = """
    ChangeDialog #typed { height: 1; margin-top: 1; padding: 0 1; border: none; background: $panel; }
    """

    def __init__(self, facts: Facts, change: Callable[[], KeyChange]) -> None:
        """`change` says what is to be changed; it may block, and raise what a plan may."""
        super().__init__()
        self._facts = facts
        self._change = change
        self._plan: ChangePlan | None = None
        self._result: ChangeResult | None = None
        self._asked: PendingCall[ChangeResult] | None = None

    def compose(self) -> ComposeResult:
        """The plan when it is made; the safe button has the focus from the start."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content("Nothing has been changed yet")
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("Looking at what would happen…"), id="plan")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """Make the plan."""
        self.query_one("#cancel").focus()
        plan = self._facts.services.key_changes.plan
        ask(
            self,
            lambda cancelled: plan(self._change(), cancelled=cancelled),
            self._show,
            group="plan",
            limit=600,
        )

    def on_unmount(self) -> None:
        """Nobody waits any more; what KMS was asked for may have been done."""
        if self._asked is not None:
            self._asked.drop()

    def _show(self, answer: ChangePlan | Trouble) -> None:
        """Show the plan, and offer to do it if there is anything to do."""
        if not self.is_mounted:
            return
        body = self.query_one("#plan", Static)
        if isinstance(answer, Trouble):
            body.update(trouble_content(answer))
            return
        plan = answer
        body.update(plan_content(plan))
        self._retitle(f"{plan.title}: nothing has been changed yet")
        if plan.changes_nothing:
            return
        self._plan = plan
        confirm = button(clean(plan.title, 60), "confirm")
        self.query_one(".buttons").mount(confirm)
        if plan.danger is Danger.TYPED:
            confirm.disabled = True
            typed = LineInput(
                placeholder=f"Type {clean(plan.confirmation, 200)} to go on", id="typed", compact=True
            )
            self.query_one(".frame").mount(typed, before=self.query_one(".buttons"))
            typed.focus()

    def _retitle(self, words: str) -> None:
        self.query_one(".frame").border_title = Content(clean(words, 120))

    @on(Input.Changed, "#typed")
    def typed(self) -> None:
        """Offer to go on once what has to be typed is typed."""
        self.query_one("#confirm", Button).disabled = self._consent() is None

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#confirm")
    def confirm(self) -> None:
        """Make the change."""
        plan, consent = self._plan, self._consent()
        if plan is None or consent is None or self._asked is not None:
            return
        for gone in self.query("#typed, #confirm"):
            gone.display = False
        self.query_one("#cancel").focus()
        self.query_one("#cancel", Button).label = Content(" Leave ")
        self._retitle(f"{plan.title}: under way")
        self.query_one("#plan", Static).update(Content("Asking KMS, then reading the effect back…"))
        run = self._facts.services.key_changes.run
        self._asked = ask(
            self,
            lambda cancelled: run(plan, consent, cancelled=cancelled),
            self._end,
            group="change",
            limit=600,
        )

    def _end(self, outcome: ChangeResult | Trouble) -> None:
        """Show what came of it."""
        body = self.query_one("#plan", Static)
        self.query_one("#cancel", Button).label = Content(" Close ")
        if isinstance(outcome, Trouble):
            self._retitle("Not done")
            body.update(trouble_content(outcome))
            return
        self._result = outcome
        self._retitle(outcome.plan.title)
        body.update(result_content(outcome))

    def _consent(self) -> Consent | None:
        """What the operator has agreed to by now, None if not yet."""
        if self._plan is None:
            return None
        if self._plan.danger is not Danger.TYPED:
            return Consent.pressed(self._plan)
        written = self.query_one("#typed", Input).value
        return Consent.typed(self._plan, written) if agrees(written, self._plan.confirmation) else None

    @on(Button.Pressed, "#cancel")
    def action_leave(self) -> None:
        """Close. A change that is under way is asked to stop; what KMS has done by then stays done."""
        self.dismiss(self._result)


def plan_content(plan: ChangePlan) -> Content:
    """Return what a change does and does not do, what it is about, and what to beware of."""
    lines = [Content.assemble((clean(plan.key_name, 200), "bold"), f"  {clean(plan.region, 60)}")]
    if plan.key_arn:
        lines.append(Content.assemble((clean(plan.key_arn, 300), "$muted")))
    if plan.changes_nothing:
        lines += [Content(""), Content.assemble(_GOOD, ("It is so already: nothing is to be done.", "bold"))]
    if plan.refused_unless_typed:
        lost = f"{plan.tokens} can't be opened while the key can't be used. Refused unless you type "
        lines += [Content(""), Content.assemble(_BAD, (clean(lost), "bold"), clean(plan.confirmation), ".")]
        if plan.tokens is not None:
            lines += [Content.assemble(_WARNING, "not counted: ", clean(gap)) for gap in plan.tokens.gaps]
    lines += [Content(""), *(Content(f"• {clean(text)}") for text in plan.does)]
    lines += [Content.assemble(("◦ ", "$muted"), clean(text)) for text in plan.does_not]
    lines += [Content.assemble(_WARNING, clean(text)) for text in plan.warnings]
    lines += _facts(plan.facts)
    if plan.policy_changes:
        lines += [Content(""), *(Content(f"• {clean(text)}") for text in plan.policy_changes)]
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
        lines = [Content.assemble(_BAD, (clean(result.stopped_by), "bold"))]
        if result.verified:
            lines.append(Content.assemble(_GOOD, "The effect is there all the same."))
    else:
        lines = [Content.assemble(_WARNING, ("Done, as KMS says, but the effect was not seen.", "bold"))]
    if result.unverified:
        lines.append(Content.assemble(_WARNING, clean(result.unverified)))
    if result.done and (result.stopped_by or not result.verified):
        lines.append(Content(f"Carried out: {', '.join(f'kms:{operation}' for operation in result.done)}."))
    if result.key_arn:
        lines.append(Content.assemble((clean(result.key_arn, 300), "$muted")))
    lines += _facts(result.facts)
    if result.next_steps:
        lines += [Content(""), *(Content(f"→ {clean(step)}") for step in result.next_steps)]
    if result.unjournaled:
        lines += [Content(""), Content.assemble(_WARNING, "not in the journal: ", clean(result.unjournaled))]
    return Content("\n").join(lines)


def _facts(facts: Iterable[ChangedFact]) -> list[Content]:
    shown, facts = [], tuple(facts)
    width = max((len(clean(fact.name, 60)) for fact in facts), default=0)
    for fact in facts:
        before, after = clean(fact.before, 300), clean(fact.after, 300)
        changed = before != after
        value = Content.assemble(before, " → ", (after, "bold")) if changed else Content(before)
        shown.append(Content.assemble((clean(fact.name, 60).ljust(width), "$muted"), "  ", value))
    return [Content(""), *shown] if shown else []


def _difference(line: str) -> Content:
    style = "$success" if line.startswith("+") else "$error" if line.startswith("-") else "$muted"
    return Content.assemble((clean(line, 400), style))
