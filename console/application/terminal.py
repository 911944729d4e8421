"""The terminal's own title: what its tab says. xterm Control Sequences, "Operating System Commands"."""

from __future__ import annotations

from textual.driver import Driver

from crypto_core.text.cleaning import clean

_SAVE, _RESTORE = "\x1b[22;0t", "\x1b[23;0t"


class Title:
    """Shows a title for as long as the console is open, and puts back the one that was there."""

    def __init__(self) -> None:
        self._shown = ""
        self._driver: Driver | None = None

    def show(self, driver: Driver | None, title: str) -> None:
        """Show a title without its control characters. Where there is no terminal, nothing is done."""
        title = clean(title, 120)
        if driver is None or driver.is_headless or driver.is_web or title == self._shown:
            return
        if self._driver is None:
            driver.write(_SAVE)
        self._driver, self._shown = driver, title
        driver.write(f"\x1b]0;{title}\x07")

    def restore(self) -> None:
        if self._driver is not None:
            self._driver.write(_RESTORE)
            self._driver = None
