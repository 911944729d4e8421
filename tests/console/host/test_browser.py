"""An address is opened by a process of its own, without a shell and without this terminal."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import pytest

from console.host.browser import open_in_browser
from crypto_core.errors import RefusedError
from tests.console.host.test_host_processes import until

ADDRESS = "https://device.sso.eu-west-1.amazonaws.com/?user_code=A&x=$(id)"


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A browser that writes down what it was given, and on its terminal."""
    program, seen = tmp_path / "browser", tmp_path / "seen"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nprint('noise')\nprint('noise', file=sys.stderr)\n"
        f"open({str(seen)!r} + '~', 'w').write(repr((sys.argv[1:], sys.stdin.read(), os.isatty(1))))\n"
        f"os.rename({str(seen)!r} + '~', {str(seen)!r})\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{program} %s &")
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.BackgroundBrowser(str(program)))
    return seen


def test_the_browser_gets_the_address_as_one_word_and_no_terminal(
    seen: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    open_in_browser(ADDRESS)
    until(seen.exists)
    assert seen.read_text() == repr(([ADDRESS], "", False))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", ["http://device.sso.example/", "file:///etc/passwd", "-x", ""])
def test_only_https_is_opened(seen: Path, address: str) -> None:
    with pytest.raises(RefusedError, match="Only https"):
        open_in_browser(address)


def test_a_browser_that_needs_the_terminal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("lynx"))
    with pytest.raises(RefusedError, match="no browser"):
        open_in_browser(ADDRESS)
