"""Four eyes on screen: that a request waits, and the plan of a request with the question what is decided."""

from __future__ import annotations

import json

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from crypto_core.guard.approvals import Approval
from crypto_core.values.clean_text import shortened
from screens.ages import ago
from screens.facts import ScreenFacts
from screens.incidents.step_runs import Waiting
from screens.incidents.work import approval_gate
from screens.widgets.dialog import Dialog, Told, buttons, framed

_MOST_LINES = 400


class ApprovalNeeded(Told):
    """Says that nothing was done yet: who has to approve, and how."""

    def __init__(self, waiting: Waiting) -> None:
        lines = [Content(waiting.message)]
        if waiting.remedy:
            lines += [Content(""), Content.assemble((waiting.remedy, "bold"))]
        if waiting.request not in waiting.message:
            lines.append(Content.assemble(("request  ", "$muted"), waiting.request))
        lines += [
            Content(""),
            Content("Or in their console, not in yours: 5, then H. Once it is approved, press Enter on the"),
            Content("step again: the same plan runs."),
        ]
        super().__init__("Not done yet: a second person has to approve it", Content("\n").join(lines))


class DecideDialog(Dialog[bool | None]):
    """Returns True to approve, False to deny, None to leave it as it is."""

    def __init__(self, facts: ScreenFacts, request: Approval) -> None:
        super().__init__()
        self._facts = facts
        self._request = request

    def compose(self) -> ComposeResult:
        question = "Deny" if self._request.problem else "Approve"
        with framed(shortened(f"{question}: {self._request.action}?", 78)):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("\n").join(plan_lines(self._request, self._facts)))
            approve = [] if self._request.problem else [("Approve", "approve")]
            yield buttons(("Leave it", "cancel"), ("Deny", "deny"), *approve)

    @on(Button.Pressed, "#approve")
    def approve(self) -> None:
        self.dismiss(True)

    @on(Button.Pressed, "#deny")
    def deny(self) -> None:
        self.dismiss(False)


def plan_lines(request: Approval, facts: ScreenFacts) -> list[Content]:
    """Return the requester, the request, its expiry, and the plan as the requester saw it."""
    now = facts.clock()
    lines = [
        Content.assemble((request.summary, "bold")),
        Content.assemble(("asked by  ", "$muted"), request.requested_by),
        Content.assemble(("asked     ", "$muted"), ago(request.requested_at, now)),
        Content.assemble(("ends      ", "$muted"), ago(request.expires_at, now)),
    ]
    if request.problem:
        lines[:0] = [Content.assemble(("✖ ", "$error"), (request.problem, "bold")), Content("")]
    advisory = approval_gate(facts).advisory
    if advisory:
        lines += [Content(""), Content.assemble(("▲ ", "$warning"), advisory)]
    rest = dict(request.plan)
    for name, lead, style in (
        ("does", "• ", ""),
        ("does_not", "◦ ", "$muted"),
        ("warnings", "▲ ", "$warning"),
    ):
        texts = rest.pop(name, ())
        if isinstance(texts, list | tuple) and texts:
            lines.append(Content(""))
            lines += [Content.assemble((lead, style), str(text)) for text in texts]
    lines += [
        Content(""),
        *(Content.assemble((f"{name:<10}", "$muted"), value) for name, value in request.proof),
    ]
    laid_out = json.dumps(rest, indent=2, ensure_ascii=False, default=str).splitlines()
    lines += [
        Content(""),
        *(Content.assemble((text, "$muted")) for text in laid_out[:_MOST_LINES]),
    ]
    if len(laid_out) > _MOST_LINES:
        lines.append(Content(f"and {len(laid_out) - _MOST_LINES:,} more lines"))
    return lines
