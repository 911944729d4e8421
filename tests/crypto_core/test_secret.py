"""Values that must not be shown."""

from __future__ import annotations

import copy
import dataclasses
import hmac
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_core.cipher import OpenedToken, SealedToken
from crypto_core.errors import InvalidTokenError, KeydeckError
from crypto_core.keyring import GeneratedDataKey, KeyAnswer, RewrappedDataKey
from crypto_core.secret import DataKey, Secret, exposed

CANARY = "ghp_CANARYcanary0123456789"
MARKS = ("CANARY", "canary", "ghp_", "0123456789", CANARY.encode().hex()[:12])


@pytest.fixture(params=[Secret, DataKey])
def hidden(request: pytest.FixtureRequest) -> Any:
    return request.param(CANARY.encode())


def assert_tells_nothing(text: str) -> None:
    assert not [mark for mark in MARKS if mark in text]


def chain_of(error: BaseException) -> str:
    """All that an exception and what it came from could tell a log or a screen."""
    told, links = [], [error]
    while links:
        link = links.pop()
        told += [str(link), repr(link), *traceback.format_exception_only(link)]
        told += [repr(getattr(link, n)) for n in dir(link) if not n.startswith("__")]
        links += [e for e in (link.__cause__, link.__context__) if e is not None]
    return "\n".join(told)


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        format,
        pprint.pformat,
        lambda s: f"{s} {s!r} {s!s} {s!a} {s:>40}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031
        "{0} {0!r} {0:>40}".format,
        lambda s: str([s, {"token": s}, (s,)]),
        lambda s: str(OpenedToken(s, KeyAnswer("arn", None))),
        lambda s: str(GeneratedDataKey(s, CANARY.encode(), KeyAnswer("arn", None))),
        lambda s: str(dir(s)),
        lambda s: logging.LogRecord("x", 10, "f", 1, "opened %s", (s,), None).getMessage(),
        lambda s: str(ValueError(s)) + repr(ValueError(s)),
    ],
)
def test_no_way_to_show_it_shows_it(show: Callable[[Any], str], hidden: Any) -> None:
    shown = show(hidden)
    assert type(hidden).__name__ in shown or "reveal" in shown or "view" in shown
    assert_tells_nothing(shown)


@pytest.mark.parametrize(
    "take",
    [
        copy.copy,
        copy.deepcopy,
        json.dumps,
        hash,
        vars,
        bytes,
        list,
        iter,
        lambda s: json.dumps({"token": s}),
        lambda s: {s},
        lambda s: s[0],
        lambda s: s + "x",
        lambda s: "x" + s,
        lambda s: "".join([s]),
        lambda s: b"".join([s]),
        memoryview,
        lambda s: "gh" in s,
        lambda s: s.__getstate__(),
        lambda s: s.__reduce__(),
        lambda s: dataclasses.asdict(OpenedToken(s, KeyAnswer("arn", None))),
        *[lambda s, p=p: pickle.dumps(s, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)],
    ],
)
def test_what_would_copy_or_store_it_raises_and_tells_nothing(
    take: Callable[[Any], Any], hidden: Any
) -> None:
    with pytest.raises(TypeError) as caught:
        take(hidden)
    assert_tells_nothing(chain_of(caught.value))


def test_what_is_stored_stays_out_of_the_repr_of_results() -> None:
    answer = KeyAnswer("arn:aws:kms:eu-west-1:123456789012:key/x", None)
    assert_tells_nothing(repr(SealedToken(CANARY, answer)))
    assert_tells_nothing(repr(RewrappedDataKey(CANARY.encode(), answer, answer)))


def test_reveal_is_the_way_to_the_text_and_view_to_the_bytes() -> None:
    secret = Secret.of("grüße-🔑")
    assert secret.reveal() == "grüße-🔑"
    assert exposed(secret) == "grüße-🔑".encode()
    assert len(secret) == len("grüße-🔑".encode())


def test_the_view_can_not_be_written_to(hidden: Any) -> None:
    with pytest.raises(TypeError, match="read-only"):
        exposed(hidden)[0] = 0


@given(st.text())
def test_any_text_with_a_utf8_form_comes_back_whole(token: str) -> None:
    assert Secret.of(token).reveal() == token


def test_equality_is_by_content_within_one_type_only() -> None:
    assert Secret(b"a" * 32) == Secret(bytearray(b"a" * 32))
    assert Secret(b"a" * 32) != Secret(b"b" * 32)
    assert Secret(b"a" * 32) != Secret(b"a" * 31)
    assert DataKey(b"a" * 32) == DataKey(b"a" * 32)
    assert Secret(b"a" * 32) != DataKey(b"a" * 32)
    assert Secret.of("a") != "a"
    assert Secret.of("a") != b"a"
    assert (Secret.of("a") == None) is False  # noqa: E711


def test_a_subclass_is_another_type() -> None:
    class Disguised(Secret):
        __slots__ = ()

    assert Disguised(b"a") != Secret(b"a")


def test_contents_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare_digest = hmac.compare_digest

    def noted(a: Any, b: Any) -> bool:
        compared.append((bytes(a), bytes(b)))
        return compare_digest(a, b)

    monkeypatch.setattr("crypto_core.secret.hmac.compare_digest", noted)
    assert Secret(b"one") != Secret(b"two")
    assert Secret(b"one") == Secret(b"one")
    assert compared == [(b"one", b"two"), (b"one", b"one")]


def test_wiping_overwrites_the_bytes_in_place(hidden: Any) -> None:
    seen_before = exposed(hidden)
    buffer = hidden._buffer
    hidden.wipe()
    assert hidden._buffer is buffer
    assert bytes(buffer) == bytes(len(CANARY))
    assert bytes(seen_before) == bytes(len(CANARY))


def test_after_wiping_there_is_nothing_to_view_or_reveal() -> None:
    secret, data_key = Secret.of(CANARY), DataKey(CANARY.encode())
    secret.wipe()
    data_key.wipe()
    secret.wipe()
    for way in (secret.view, secret.reveal, data_key.view):
        with pytest.raises(ValueError, match="is wiped"):
            way()
    assert repr(secret) == "Secret(hidden)"


def test_a_wiped_value_equals_none_not_even_another_wiped_one() -> None:
    first, second = Secret.of("abc"), Secret.of("xyz")
    first.wipe()
    assert first != Secret(bytes(3))
    assert Secret(bytes(3)) != first
    second.wipe()
    assert first != second


def test_the_context_manager_wipes_at_its_end_and_at_an_exception() -> None:
    with Secret.of(CANARY) as secret:
        assert secret.reveal() == CANARY
    with pytest.raises(ValueError, match="is wiped"):
        secret.reveal()
    with pytest.raises(RuntimeError, match="on purpose"), DataKey(b"k" * 32) as data_key:
        raise RuntimeError("on purpose")
    with pytest.raises(ValueError, match="is wiped"):
        exposed(data_key)


def test_it_keeps_a_copy_of_what_it_was_given() -> None:
    given_bytes = bytearray(CANARY.encode())
    secret = Secret(given_bytes)
    given_bytes[:] = bytes(len(given_bytes))
    assert secret.reveal() == CANARY


def test_a_token_without_a_utf8_form_is_refused_and_not_told() -> None:
    with pytest.raises(InvalidTokenError) as caught:
        Secret.of(f"{CANARY}\ud800{CANARY}")
    assert_tells_nothing(chain_of(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("content", [b"\xff" + CANARY.encode(), CANARY.encode() + b"\xc3", b"\xed\xa0\x80"])
def test_opened_bytes_that_are_no_text_are_refused_and_not_told(content: bytes) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        Secret(content).reveal()
    assert_tells_nothing(chain_of(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("token", [CANARY.encode(), None, 7, bytearray(CANARY.encode()), Secret(b"x")])
def test_only_text_becomes_a_secret(token: Any) -> None:
    with pytest.raises(InvalidTokenError, match="not text") as caught:
        Secret.of(token)
    assert_tells_nothing(chain_of(caught.value))


def subclasses_of(kind: type[KeydeckError]) -> list[type[KeydeckError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses_of(child))]


@pytest.mark.parametrize("kind", subclasses_of(KeydeckError), ids=lambda kind: kind.__name__)
def test_every_error_survives_the_way_from_a_worker_process(kind: type[KeydeckError]) -> None:
    error: Any
    if kind.__name__ == "MalformedEnvelopeError":
        error = kind("nonce", "11 bytes", remedy="Look.")  # type: ignore[call-arg]
    elif kind.__name__ == "InvalidFilterError":
        error = kind("Unexpected )", position=7, remedy="Look.")  # type: ignore[call-arg]
    else:
        error = kind("It failed.", remedy="Look.")
    for arrived in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(arrived) is kind
        assert str(arrived) == str(error)
        assert vars(arrived) == vars(error)
        assert arrived.args == error.args
