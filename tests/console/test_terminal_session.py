"""A whole session on a pseudo-terminal, byte by byte: hostile rows, keys, place, log, memory and paste."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from crypto_core.values.clean_text import clean
from screens.connections.screen import EXAMPLE, LISTING
from tests.pseudo_terminal import PseudoTerminal
from tests.screens.deck import LARGE, SMALL
from tests.screens.samples import HOSTILE, hostile_rows

CSI = re.compile(r"\x1b\[([0-?]*)([ -/]*)([@-~])")
OSC = re.compile(r"\x1b\]([^\x07\x1b]*)\x07")
TEXTUALS = {
    ("m", ""),  # colours and styles
    ("H", ""),  # the cursor's place
    ("h", ""),  # modes: alternate screen, mouse, paste, focus, synchronised output
    ("l", ""),
    ("p", "$"),  # asks which modes the terminal knows
    ("u", ""),  # how keys are reported
}
MODES = {"7", "25", "1000", "1003", "1004", "1006", "1015", "1049", "2004", "2026", "2048"}
ESC = "\x1b[27u"
"""Escape as terminals with Kitty's protocol send it: a key of its own whatever follows it."""
BIDI = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f", "\u061c"}
PASTED = "org:\x9b31m\u202eevil\x07\u2066\x9d52;c;aGk=\x9c"


@dataclass(frozen=True)
class Sequence:
    """One escape sequence: its introducer, its parameters, its intermediates and its final byte."""

    kind: str
    parameters: str
    intermediates: str = ""
    final: str = ""


def parsed(output: str) -> tuple[list[Sequence], str]:
    """The escape sequences that a terminal reads, and the text between them."""
    sequences, text, at = [], [], 0
    while at < len(output):
        if (csi := CSI.match(output, at)) is not None:
            sequences.append(Sequence("CSI", csi[1], csi[2], csi[3]))
            at = csi.end()
        elif (osc := OSC.match(output, at)) is not None:
            sequences.append(Sequence("OSC", osc[1]))
            at = osc.end()
        else:
            assert output[at] != "\x1b", f"what is this? {output[at - 40 : at + 40]!r}"
            text.append(output[at])
            at += 1
    return sequences, "".join(text)


class Terminal(PseudoTerminal):
    """The hostile console; what it wrote is UTF-8."""

    def __init__(self, size: tuple[int, int]) -> None:
        place = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        super().__init__(["-m", "tests.console.hostile_console"], place, size=size)
        self.seen = 0

    @property
    def output(self) -> str:
        return self.written.decode()

    def type(self, keys: str, until: str) -> None:
        """Press keys, then wait until a text is sent that comes after them."""
        self.seen = len(self.written)
        self.press(keys.encode())
        self.wait_for(until)

    def wait_for(self, words: str, times: int = 1) -> None:
        """Wait until something is sent that wasn't when keys were last pressed."""
        self.read_until(words.encode(), self.seen, times)

    def leave(self) -> int:
        """Press q, read what is still sent, and return the exit code."""
        self.press(b"q")
        return self.ended()

    def recall_all_then_paste(self, placeholder: str) -> None:
        """Call back what is remembered, text by text, then paste something into the emptied field."""
        for text in (HOSTILE[6][:40], *(clean(text)[-8:] + "\x1b" for text in HOSTILE[5:1:-1])):
            self.type("\x1b[A", text)
        self.type("\x15", placeholder[1:])
        self.type(f"\x1b[200~{PASTED}\x1b[201~", "evil")


@pytest.fixture(scope="module", params=[SMALL, LARGE], ids=["80x24", "120x40"])
def session(request: pytest.FixtureRequest) -> Iterator[tuple[Terminal, int, int]]:
    """A session through all screens: what was sent, its length before the first y, and the exit code."""
    terminal = Terminal(request.param)
    try:
        terminal.wait_for("problems")
        terminal.type("\r", "Connections")
        terminal.type(ESC, "problems")
        terminal.type("jjj2", "Connections")
        terminal.wait_for("sort: ")
        terminal.type("\r", "verified")
        terminal.type("/", "Enter applies")
        terminal.recall_all_then_paste(EXAMPLE)
        terminal.type(ESC, " filter\x1b")
        for keys, shown in (("F", "Saved filters"), (f"{ESC}s", "sort: token"), ("3", "Keys")):
            terminal.type(keys, shown)
        for keys, shown in (
            *(("\r", "since"), ("P", "Who may do what"), (f"{ESC}z", "does not do that")),
            *(
                (f"{ESC}v", "a1a1a1a1"),
                (f"{ESC}{ESC}7", "Findings"),
                ("o", "As at first"),
                (f"{ESC}9", "Log"),
            ),
        ):
            terminal.type(keys, shown)
        terminal.wait_for("MARK")
        terminal.type("j?", "what can be done here")
        terminal.type(f"{ESC}:", "command; Tab completes")
        terminal.recall_all_then_paste("a command; Tab completes")
        terminal.type("\r", "No command :")
        terminal.type("1", "problems")
        terminal.type("2", "sort: ")  # last, for its toasts cover other text
        before = len(terminal.output)
        terminal.type("yj" * len(HOSTILE), "Sent to the clipboard")
        terminal.wait_for("\x1b]52;", times=len(HOSTILE))
        terminal.type("Y", "\x1b]52;")
        yield terminal, before, terminal.leave()
    finally:
        terminal.close()


def test_q_ends_it_with_exit_code_0(session: tuple[Terminal, int, int]) -> None:
    assert session[2] == 0


@pytest.mark.deep
def test_every_sequence_is_of_a_kind_that_textual_needs(session: tuple[Terminal, int, int]) -> None:
    sequences, _ = parsed(session[0].output)
    for sequence in sequences:
        if sequence.kind == "OSC":
            # The clipboard, the shape of the mouse's pointer.
            assert re.match(r"52;c;|22;[a-z-]+$", sequence.parameters), sequence
            continue
        assert (sequence.final, sequence.intermediates) in TEXTUALS, sequence
        if sequence.final == "m":
            assert re.fullmatch(r"[0-9;]*", sequence.parameters)
        elif sequence.final in "hlp":
            assert sequence.parameters.removeprefix("?") in MODES, sequence


@pytest.mark.quick(1)
def test_between_the_sequences_is_nothing_that_a_terminal_obeys(session: tuple[Terminal, int, int]) -> None:
    _, text = parsed(session[0].output)
    for character in set(text) - {"\r", "\n"}:
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), repr(character)
    assert not BIDI & set(session[0].output)
    assert "\x00" not in session[0].output
    assert not {chr(c) for c in range(0x80, 0xA0)} & set(session[0].output)


@pytest.mark.deep
def test_a_bell_only_ends_a_copy(session: tuple[Terminal, int, int]) -> None:
    output = session[0].output
    sequences, _ = parsed(output)
    assert output.count("\x07") == sum(s.kind == "OSC" for s in sequences)


def test_the_clipboard_is_written_only_by_y_and_with_the_cleaned_text(
    session: tuple[Terminal, int, int],
) -> None:
    terminal, before, _ = session
    assert "\x1b]52;" not in terminal.output[:before]
    *copied, whole = [
        base64.b64decode(s.parameters.removeprefix("52;c;"), validate=True).decode()
        for s in parsed(terminal.output)[0]
        if s.parameters.startswith("52;")
    ]
    assert sorted(copied) == sorted(clean(LISTING.reference(row), 80_000) for row in hostile_rows())
    assert not {c for c in whole if unicodedata.category(c) in ("Cc", "Cf")} - {"\t"}


def test_what_is_hostile_is_shown_as_text(session: tuple[Terminal, int, int]) -> None:
    _, text = parsed(session[0].output)
    for shown in (
        "[/red]",
        "[bold]OK",
        "[31mred[0m]52;c;aGk=",
        "etalumis",
        "nulbyte",
        "🦊 emoji",
        "wwwwwwww",
    ):
        assert shown in text


def test_the_terminal_is_left_as_it_was_found(session: tuple[Terminal, int, int]) -> None:
    on: set[str] = set()
    for sequence in parsed(session[0].output)[0]:
        if sequence.final == "h":
            on.add(sequence.parameters)
        elif sequence.final == "l":
            on.discard(sequence.parameters)
    # Wrapping lines and showing the cursor is what terminals do.
    assert on <= {"?7", "?25"}
