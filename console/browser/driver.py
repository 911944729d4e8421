"""Textual's web driver, for a child that must not outlive the server."""

from __future__ import annotations

import os
import threading

from textual.drivers.web_driver import WebDriver

GRACE = 15.0
"""Seconds that the console has to end by itself once its page is gone; a busy machine needs some of them."""


class PageDriver(WebDriver):
    """Ends the console when its input ends: the server is gone, however it went."""

    def run_input_thread(self) -> None:
        """Read until the console ends, or the server does."""
        super().run_input_thread()
        if self.exit_event.is_set():
            return
        deadline = threading.Timer(GRACE, os._exit, (3,))
        deadline.daemon = True
        deadline.start()
        self.on_meta("quit", {})
