"""Who may come in: one token, once."""

from __future__ import annotations

import base64

from console.browser.admission import WRONG_TRIES, Admission, AdmissionRefusal, BrowserSession


def test_a_token_has_256_bits_and_no_two_are_alike() -> None:
    tokens = {Admission().token for _ in range(100)}
    assert len(tokens) == 100
    assert {len(base64.urlsafe_b64decode(token + "=")) for token in tokens} == {32}


def test_the_token_works_once() -> None:
    admission = Admission()
    session = admission.exchange(admission.token)
    assert isinstance(session, BrowserSession)
    assert len({session.cookie, session.page_key, admission.token}) == 3
    assert admission.admits(session.cookie)
    assert admission.is_page(session.page_key)
    assert admission.exchange(admission.token) is AdmissionRefusal.USED
    assert admission.admits(session.cookie)
    for secret in (session.cookie, session.page_key):
        assert secret not in repr(session)


def test_a_session_is_its_users_alone() -> None:
    admission = Admission()
    session = admission.exchange(admission.token, "ana@example.org")
    assert isinstance(session, BrowserSession)
    assert admission.admits(session.cookie, "ana@example.org")
    assert not admission.admits(session.cookie, "eve@example.org")
    assert not admission.admits(session.cookie)


def test_nothing_but_the_session_is_admitted() -> None:
    admission = Admission()
    for guess in (None, "", "None", admission.token, "é", "\ud800"):
        assert not admission.admits(guess)
        assert not admission.is_page(guess or "")
    admission.exchange(admission.token)
    for guess in (None, "", "None", admission.token, "é", "\ud800"):
        assert not admission.admits(guess)
        assert not admission.is_page(guess or "")


def test_a_wrong_token_is_refused_and_the_right_one_still_works() -> None:
    admission = Admission()
    for guess in ("", "é\udcff", admission.token[:-1], admission.token + "A"):
        assert admission.exchange(guess) is AdmissionRefusal.WRONG
    assert isinstance(admission.exchange(admission.token), BrowserSession)


def test_too_many_wrong_tokens_end_the_token() -> None:
    admission = Admission()
    answers = [admission.exchange("guess") for _ in range(WRONG_TRIES)]
    assert answers == [AdmissionRefusal.WRONG] * (WRONG_TRIES - 1) + [AdmissionRefusal.LOCKED]
    assert admission.exchange(admission.token) is AdmissionRefusal.LOCKED


def test_wrong_tokens_can_not_end_a_session() -> None:
    admission = Admission()
    session = admission.exchange(admission.token)
    assert {admission.exchange("guess") for _ in range(2 * WRONG_TRIES)} == {AdmissionRefusal.USED}
    assert isinstance(session, BrowserSession)
    assert admission.admits(session.cookie)
