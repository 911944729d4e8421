"""The dry run: what would happen to which tokens, and the question whether it should."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.guard.consent import Consent, Danger, agrees
from crypto_core.key_names import short_key
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.reencryption.choose_key import ABOUT
from screens.widgets.cells import tokens
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content

SHOWN = 50
"""How many refused tokens are named one by one."""
_WARNING = ("▲ ", "$warning")


class Preview(Dialog[tuple[Plan, Consent] | None]):
    """Returns the plan with the operator's consent to it, else None."""

    DEFAULT_CSS = """
    Preview #typed { width: 36; height: 1; margin-top: 1; padding: 0 1; border: none; background: $panel; }
    """

    def __init__(self, facts: Facts, verb: Verb, selection: Selection, target: str) -> None:
        super().__init__()
        self._facts = facts
        self._verb = verb
        self._selection = selection
        self._target = target
        self._plan: Plan | None = None

    def compose(self) -> ComposeResult:
        """The plan when it is made; the safe button has the focus from the start."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(f"{self._verb.words.capitalize()}: nothing has been changed yet")
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("Looking at what would happen…"), id="plan")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """Make the plan."""
        self.query_one("#cancel").focus()
        plan = self._facts.services.work.plan
        ask(
            self,
            lambda _: plan(self._verb, self._selection, self._target),
            self._show,
            group="plan",
            limit=600,
        )

    def _show(self, answer: Plan | Trouble) -> None:
        """Show the plan, and offer to do it if there is anything to do."""
        if not self.is_mounted:
            return
        body = self.query_one("#plan", Static)
        if isinstance(answer, Trouble):
            body.update(trouble_content(answer))
            return
        plan = answer
        body.update(plan_content(plan))
        if not plan.tokens:
            return
        self._plan = plan
        words = plan.verb.words.capitalize()
        confirm = button(f"{words} {tokens(plan.tokens)}", "confirm")
        self.query_one(".buttons").mount(confirm)
        if plan.danger is Danger.TYPED:
            confirm.disabled = True
            typed = LineInput(placeholder=f"Type {plan.confirmation} to go on", id="typed", compact=True)
            self.query_one(".frame").mount(typed, before=self.query_one(".buttons"))
            typed.cursor_blink = False
            typed.focus()

    @on(Input.Changed, "#typed")
    def typed(self) -> None:
        """Offer to go on once what has to be typed is typed."""
        self.query_one("#confirm", Button).disabled = self._consent() is None

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#confirm")
    def confirm(self) -> None:
        """Go on with the plan."""
        consent = self._consent()
        if self._plan is not None and consent is not None:
            self.dismiss((self._plan, consent))

    def _consent(self) -> Consent | None:
        """What the operator has agreed to by now, None if not yet."""
        if self._plan is None:
            return None
        if self._plan.danger is not Danger.TYPED:
            return Consent.pressed(self._plan)
        written = self.query_one("#typed", Input).value
        return Consent.typed(self._plan, written) if agrees(written, self._plan.confirmation) else None

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Go back; nothing was changed."""
        self.dismiss(None)


def plan_content(plan: Plan, kms_calls: int | None = None) -> Content:
    """Return the plan as lines: what, where, at what cost, with which warnings, and what stays as it is.

    `kms_calls` is what a job takes.
    """
    calls = counted(plan.kms_calls if kms_calls is None else kms_calls, "call")
    lines: list[Content] = []
    if plan.tokens:
        name = f"{clean(plan.target_name, 120)} {short_key(plan.target_key_arn)}".strip()
        lines += [
            Content.assemble((tokens(plan.tokens), "bold"), " would be written under ", (name, "bold")),
            Content.assemble((f"{calls} of KMS, of the quota that production shares", "$muted")),
            *(_column(name, count) for name, count in sorted(plan.by_column.items())),
            *(_column(f"{c.source} becomes {c.written}", c.tokens) for c in plan.conversions if c.changes),
        ]
        if plan.verb is Verb.REWRAP:
            lines.append(Content.assemble(_WARNING, ABOUT[Verb.REWRAP]))
        lines += [Content.assemble(_WARNING, clean(warning)) for warning in plan.warnings]
    else:
        lines.append(Content.assemble(("Nothing would be written.", "bold")))
    lines += [Content.assemble(_WARNING, "not seen: ", clean(reason)) for reason in plan.coverage.reasons]
    if plan.refused:
        count = len(plan.refused)
        words = f"{tokens(count)} would be left as {'it is' if count == 1 else 'they are'}:"
        lines += [Content(""), Content.assemble(("✖ ", "$error"), (words, "bold"))]
        lines += unwritten_lines(plan.refused)
    return Content("\n").join(lines)


def _column(name: str, count: int) -> Content:
    return Content.assemble(f"{count:>9,}  ", clean(name, 120))


def unwritten_lines(unwritten: Sequence[Unwritten]) -> list[Content]:
    """Return each reason with the tokens that it holds for, and how many more there are than are named."""
    by_reason: dict[str, list[str]] = {}
    for token in unwritten[:SHOWN]:
        by_reason.setdefault(clean(token.reason), []).append(clean(token.reference, 120))
    lines = []
    for reason, references in by_reason.items():
        lines.append(Content(f"  {reason}"))
        lines += [Content.assemble(("    " + reference, "$muted")) for reference in references]
    if len(unwritten) > SHOWN:
        lines.append(Content(f"  and {len(unwritten) - SHOWN:,} more"))
    return lines
