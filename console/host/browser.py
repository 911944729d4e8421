"""Opens an address in the operator's browser, which gets neither this terminal nor a shell."""

from __future__ import annotations

import subprocess
import sys
import webbrowser
from threading import Thread

from crypto_core.errors import RefusedError


def open_in_browser(address: str) -> None:
    """Open an https address. Raises RefusedError where there is no browser, or for another address."""
    if not address.startswith("https://"):
        raise RefusedError("Only https addresses are opened.")
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        browser = None
    # A text browser would need this terminal.
    if browser is None or type(browser) is webbrowser.GenericBrowser:
        raise RefusedError(
            "This machine has no browser to open it in.", remedy="Open the address on another device."
        )
    opener = subprocess.Popen(
        [sys.executable, "-P", "-m", "webbrowser", "-t", address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    Thread(target=opener.wait, name="keydeck-browser", daemon=True).start()
