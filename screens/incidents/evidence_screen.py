"""Evidence: every piece with its hash, and the stored content of one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.content import Content

from crypto_core.database.state.incident_records import EvidencePiece
from crypto_core.incidents.model import IncidentView
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from screens.actions.action import Action
from screens.answer_screen import AnswerScreen, UseScreen
from screens.facts import ScreenFacts
from screens.identities import person
from screens.moments import stamp
from screens.routes import EvidenceRoute, Followed
from screens.use.lines import BLANK
from screens.widgets.cells import cut, fit, fit_middle
from screens.widgets.clipboard import send_to_clipboard
from screens.widgets.event_text import CopiedText, CopiedValue
from screens.widgets.line_list import Line

MOST_LINES = 20_000
"""Lines of one piece that are laid out."""
_WIDE = 110
_WHOLE, _SHORT, _PERSON = 64, 16, 12
_BESIDE = 2 + 2 + 2 + 11
"""Cells of a line that are neither title, hash nor name."""
_LONGEST = 4_000
"""Characters of one line that are laid out."""
_FIELD = re.compile(r'(?P<lead> *(?:"(?:[^"\\]|\\.)*": )?)"(?P<text>(?:[^"\\]|\\.)*)"(?P<end>,?)')
_SHOWN = re.compile(r' *(?:"[^"]*": )?"(?P<text>.+)",?')


class EvidenceListScreen(UseScreen[IncidentView]):
    """By step; Enter reads a piece."""

    NAME = "evidence"
    EVERY = 5.0
    ASKING = "Reading the list of evidence…"
    ACTS: ClassVar[tuple[str, ...]] = ("evidence",)

    def __init__(self, facts: ScreenFacts, incident: int, step: str = "") -> None:
        super().__init__(facts)
        self.incident = incident
        self.step = step

    @property
    def crumb(self) -> tuple[str, str]:
        return "Evidence", counted(len(self.answer.evidence), "piece") if self.answer is not None else ""

    def ask_for(self, cancelled: Cancellation) -> IncidentView:
        return self.facts.services.incidents.show(self.incident)

    def lines(self, answer: IncidentView, width: int) -> Iterable[Line]:
        return list_lines(answer, width, self.facts, self.step)

    def possible(self, action: Action) -> bool | None:
        if action.name == "copy-hash" and not isinstance(self.target_in_hand, EvidenceRoute):
            return None
        return super().possible(action)

    def do_copy_hash(self) -> None:
        target = self.target_in_hand
        if isinstance(target, EvidenceRoute):
            text = target.sha256
            send_to_clipboard(self, text, text)


def list_lines(view: IncidentView, width: int, facts: ScreenFacts, step: str = "") -> Iterator[Line]:
    now, any_ = facts.clock(), False
    longest = max((len(piece.title) for piece in view.evidence), default=0)
    digest = min(max(_room(width, 0) - longest, _SHORT), _WHOLE)
    for one in view.steps:
        own = [
            piece for piece in view.evidence if piece.step_id == one.step.id and step in ("", piece.step_id)
        ]
        if not own:
            continue
        if any_:
            yield BLANK
        any_ = True
        yield Line(Content.assemble((f"{one.number} ", "$muted"), (one.step.title, "bold")))
        for piece in own:
            yield _piece(piece, width, digest, stamp(piece.captured_at, now)[5:16], view.incident.id)
    if not any_:
        yield Line(Content.assemble(("No evidence yet: C on a step captures what it names.", "$muted")))


def _room(width: int, digest: int) -> int:
    """The characters that there are for a title, beside a hash of so many, a time and a name."""
    return max(width - digest - _BESIDE - (_PERSON + 2 if width >= _WIDE else 0), 10)


def _piece(piece: EvidencePiece, width: int, digest: int, at: str, incident: int) -> Line:
    right = f"  {fit_middle(piece.sha256, digest)}  {at}"
    if width >= _WIDE:
        right += f"  {fit(person(piece.captured_by), _PERSON)}"
    title = fit(piece.title, _room(width, digest))
    return Line(
        Content.assemble("  ", (title, "$accent"), (right, "$muted")),
        EvidenceRoute(incident, piece.id, piece.title, piece.sha256),
        f"Enter: what was kept, {piece.characters:,} characters. y copies its SHA-256.",
    )


@dataclass(frozen=True, slots=True)
class LaidOut:
    characters: int
    text: Sequence[str]


class EvidenceScreen(AnswerScreen[LaidOut]):
    """The content of one piece. Its hash was compared when it was read."""

    NAME = "evidence-text"
    EVERY = 300.0
    ASKING = "Reading the evidence and comparing its hash…"
    TEXT = CopiedText
    ACTS: ClassVar[tuple[str, ...]] = ("evidence",)

    def __init__(self, facts: ScreenFacts, incident: int, evidence: int, title: str, sha256: str) -> None:
        super().__init__(facts)
        self.piece = EvidenceRoute(incident, evidence, title, sha256)

    @property
    def crumb(self) -> tuple[str, str]:
        return "Content", self.piece.title

    def ask_for(self, cancelled: Cancellation) -> LaidOut:
        text = self.facts.services.incidents.evidence(self.piece.incident, self.piece.evidence)
        return LaidOut(len(text), readable(text))

    def lines(self, answer: LaidOut, width: int) -> Iterable[Line]:
        yield Line(Content.assemble(("sha256  ", "$muted"), (self.piece.sha256, "bold")))
        words = f"{answer.characters:,} characters; the hash was compared, and is the one that was captured"
        yield Line(Content.assemble(("● ", "$success"), (words, "$muted")))
        yield BLANK
        for text in answer.text:
            value = value_of(text)
            target = CopiedValue(value) if value else None
            words = f"y copies: {cut(value, 200)}" if value else ""
            for part in Content(text).fold(max(width, 20)) or [Content("")]:
                yield Line(part, target, words)

    def do_copy_hash(self) -> None:
        """Send the value under the cursor to the clipboard; the hash where there is none."""
        target = self.target_in_hand
        text = target.text if isinstance(target, CopiedValue) else self.piece.sha256
        send_to_clipboard(self, text, text)

    @on(Followed)
    def stay(self, event: Followed) -> None:
        if isinstance(event.target, CopiedValue):
            event.stop()


def readable(text: str) -> Sequence[str]:
    """Return JSON laid out, a field a line; what is no JSON as it is, line by line. All of it cleaned."""
    try:
        content = json.loads(text)
        if isinstance(content, dict):
            # What it comes to is short; the long lists that it comes from are below.
            content = dict(sorted(content.items(), key=lambda one: len(json.dumps(one[1]))))
        laid_out = json.dumps(content, indent=2, ensure_ascii=False)
    except ValueError:
        laid_out = text
    lines = laid_out.splitlines()
    shown: list[str] = [clean(_as_read(line), _LONGEST) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        shown.append(f"… and {len(lines) - MOST_LINES:,} more lines: keydeck incident show prints all.")
    return shown


def _as_read(line: str) -> str:
    """A line of JSON with its text unescaped, so that a query can be pasted as shown."""
    found = _FIELD.fullmatch(line)
    if found is None or "\\" not in found["text"]:
        return line
    return f'{found["lead"]}"{json.loads(chr(34) + found["text"] + chr(34))}"{found["end"]}'


def value_of(line: str) -> str:
    """Return the text of a line that `readable` has laid out, without its name and quotes; "" for none."""
    found = _SHOWN.fullmatch(line)
    return found["text"] if found is not None else ""
