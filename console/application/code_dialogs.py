"""Asks for the codes of MFA devices on the console's screen: one dialog at a time, whoever waits for it."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from threading import Event, Lock
from typing import TYPE_CHECKING

from crypto_core.aws.mfa_codes import CodeQuestion
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from textual.app import App

LOOK_SECONDS = 0.5
"""How often whoever waits looks whether the console is still there."""


class CodeDialogs:
    """Is called in threads that make calls, and shows its dialogs in the app's. Thread-safe."""

    def __init__(self) -> None:
        self._one_at_a_time = Lock()
        self._there, self._gone = Event(), Event()
        self._app: App[None] | None = None

    def serve(self, app: App[None]) -> None:
        """Ask on this app's screen from now on; what was asked before has waited for it."""
        self._app = app
        self._there.set()

    def leave(self) -> None:
        """Ask nothing more: whoever waits gets no code."""
        self._gone.set()
        self._there.set()

    def __call__(self, question: CodeQuestion) -> Secret | None:
        """Return the code as entered, None if the operator gives up or leaves."""
        with self._one_at_a_time:
            self._there.wait()
            answer: Future[Secret | None] = Future()
            if (
                self._app is None
                or self._gone.is_set()
                or not self._app.call_later(self._ask, question, answer)
            ):
                return None
            while not self._gone.is_set():
                try:
                    return answer.result(LOOK_SECONDS)
                except NotYet:
                    continue
            return None

    def _ask(self, question: CodeQuestion, answer: Future[Secret | None]) -> None:
        from screens.context import CodeDialog

        if self._app is not None:
            self._app.push_screen(CodeDialog(question), answer.set_result)
