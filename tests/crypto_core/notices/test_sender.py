"""Sending by apprise: taken, refused, dead, endless; and nothing of a receiver's URL or answer comes back."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

import pytest

from crypto_core.notices.notice import Message, Receiver
from crypto_core.notices.sender import Letter, send_letters
from tests.receivers import TOKEN, dead, mailbox, webhook

MESSAGE = Message("prod critical: <b>INC-7</b>", "Declared.\n<script>alert(1)</script>")


@pytest.mark.deep
def test_each_receiver_is_sent_to_at_once_and_says_for_itself_how_that_ended() -> None:
    with (
        webhook() as well,
        webhook() as refusing,
        webhook() as moved,
        dead() as silent,
        mailbox() as (mail, mails),
    ):
        refusing.status, refusing.answer = 503, f"\x1b[31m{TOKEN}".encode()
        moved.status, moved.headers = 307, {"Location": f"http://127.0.0.1:{well.port}/stolen"}
        urls = {
            "well": well.url,
            "refusing": refusing.url,
            "moved": moved.url,
            "silent": f"{silent}?rto=0.5",
            "tolerant": f"{refusing.url}?optional=yes&retry=3",
            "mail": mail,
            "nobody": f"json://127.0.0.1:1/{TOKEN}",
            "unknown": f"nothing-like-it://{TOKEN}",
        }
        letters = [Letter(Receiver(name, url), MESSAGE, grave=True) for name, url in urls.items()]
        told = send_letters(letters, seconds=60.0)
    assert told == {
        "well": "",
        "refusing": "It answered with HTTP status 503.",
        "moved": "It answered with HTTP status 307.",
        "silent": "It could not be reached, or did not answer in time.",
        "tolerant": "It answered with HTTP status 503.",
        "mail": "",
        "nobody": "It could not be reached, or did not answer in time.",
        "unknown": "Its URL is not one that apprise knows.",
    }
    [taken] = well.taken
    assert (taken["title"], taken["message"], taken["type"]) == (MESSAGE.title, MESSAGE.body, "failure")
    [one] = mails
    assert "INC-7" in one
    assert ("text/plain" in one, "text/html" in one) == (True, False)
    assert TOKEN not in repr(letters) + repr(told)


def test_sending_ends_at_its_deadline_and_when_it_is_cancelled() -> None:
    cancelled = Event()
    cancelled.set()
    with dead() as silent:
        letters = [Letter(Receiver("silent", f"{silent}?rto=600"), MESSAGE)]
        late = send_letters(letters, seconds=0.1)
        stopped = send_letters(letters, cancelled, seconds=600.0)
    assert late == stopped == {"silent": "It did not answer in time."}


def test_the_process_that_sends_gets_the_proxy_and_the_authorities_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "environment.json"
    program = f"import json, os\nopen({str(told)!r}, 'w').write(json.dumps(dict(os.environ)))\n"
    (tmp_path / "sitecustomize.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    set_here = {"AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "GITHUB_TOKEN", "https_proxy", "SSL_CERT_FILE"}
    for name in set_here:
        monkeypatch.setenv(name, "unspoken")
    send_letters([Letter(Receiver("unknown", f"nothing-like-it://{TOKEN}"), MESSAGE)], seconds=60.0)
    assert json.loads(told.read_text()).keys() & set_here == {"https_proxy", "SSL_CERT_FILE"}
