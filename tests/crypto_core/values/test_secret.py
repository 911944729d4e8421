"""What a Secret and a DataKey are as values: revealed, compared, adopted, wiped, refused."""

from __future__ import annotations

import copy
import gc
import hmac
import importlib
import pickle
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import console
import crypto_core
import screens
from crypto_core.values.errors import InvalidTokenError, KeydeckError
from crypto_core.values.secret import DataKey, Secret, exposed
from tests.crypto_core.canary import CANARY, assert_tells_nothing, chain_of


@pytest.fixture(params=[Secret, DataKey])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def hidden(kind: Any) -> Any:
    return kind(CANARY.encode())


def test_reveal_is_the_way_to_the_text_and_exposed_to_the_bytes() -> None:
    secret = Secret.of("grüße-🔑")
    assert secret.reveal() == "grüße-🔑"
    assert exposed(secret) == "grüße-🔑".encode()
    assert len(secret) == len("grüße-🔑".encode())


def test_the_exposed_bytes_can_not_be_written_to(hidden: Any) -> None:
    exposure: Any = exposed(hidden)
    with pytest.raises(TypeError, match="read-only"):
        exposure[0] = 0


@given(st.text())
def test_any_text_with_a_utf8_form_comes_back_whole(token: str) -> None:
    assert Secret.of(token).reveal() == token


def test_equality_is_by_content_within_one_type_only() -> None:
    assert Secret(b"a" * 32) == Secret(bytearray(b"a" * 32))
    assert Secret(b"a" * 32) != Secret(b"b" * 32)
    assert Secret(b"a" * 32) != Secret(b"a" * 31)
    assert DataKey(b"a" * 32) == DataKey(b"a" * 32)
    assert Secret(b"a" * 32) != DataKey(b"a" * 32)
    assert type("Disguised", (Secret,), {})(b"a") != Secret(b"a")
    assert Secret.of("a") != "a"
    assert Secret.of("a") != b"a"
    assert (Secret.of("a") == None) is False  # noqa: E711


def test_contents_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare_digest = hmac.compare_digest

    def noted(a: Any, b: Any) -> bool:
        compared.append((bytes(a), bytes(b)))
        return compare_digest(a, b)

    monkeypatch.setattr("crypto_core.values.secret.hmac.compare_digest", noted)
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


def test_after_wiping_there_is_nothing_to_expose_or_reveal() -> None:
    secret, data_key = Secret.of(CANARY), DataKey(CANARY.encode())
    secret.wipe()
    data_key.wipe()
    secret.wipe()
    for way in (lambda: exposed(secret), secret.reveal, lambda: exposed(data_key)):
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


def test_the_bytes_are_exposed_without_a_copy(hidden: Any) -> None:
    exposure = exposed(hidden)
    assert exposure.readonly
    assert id(exposure.obj) == id(hidden._buffer)
    hidden._buffer[:] = bytes(len(hidden))
    assert bytes(exposure) == bytes(len(CANARY))


def test_reveal_is_the_only_way_out_of_it() -> None:
    """Whatever it offers by a public name neither is nor returns the bytes, but for `reveal`."""
    offered = {name for name in dir(Secret) if not name.startswith("_")}
    assert offered == {"adopt", "of", "reveal", "wipe"}
    assert {name for name in dir(DataKey) if not name.startswith("_")} == {"adopt", "wipe"}
    assert Secret.of(CANARY).wipe() is None  # type: ignore[func-returns-value]


def test_an_adopted_buffer_is_not_copied(kind: Any) -> None:
    buffer = bytearray(CANARY.encode())
    hidden = kind.adopt(buffer)
    assert type(hidden) is kind
    assert exposed(hidden).obj is buffer
    assert hidden == kind(CANARY.encode())
    buffer[:4] = b"GHP_"
    assert bytes(exposed(hidden)) == b"GHP_" + CANARY.encode()[4:]
    hidden.wipe()
    assert buffer == bytes(len(CANARY))


def test_an_adopted_buffer_is_wiped_when_its_owner_goes(kind: Any) -> None:
    buffer = bytearray(CANARY.encode())
    hidden = kind.adopt(buffer)
    assert buffer == CANARY.encode()
    del hidden
    gc.collect(0)
    assert buffer == bytes(len(CANARY))


def test_the_buffer_of_its_own_is_wiped_when_it_goes(hidden: Any, kind: Any) -> None:
    seen = exposed(kind(CANARY.encode()))
    gc.collect(0)
    assert bytes(seen) == bytes(len(CANARY))
    assert bytes(exposed(hidden)) == CANARY.encode()


def test_one_that_was_never_filled_goes_without_an_error(kind: Any) -> None:
    """An error in `__del__` would be shown to nobody but written to stderr; pytest makes it a failure."""
    kind.__new__(kind)
    with pytest.raises(TypeError):
        kind("text")
    gc.collect(0)


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


def made(kind: Any) -> KeydeckError:
    """An error of a kind, with all that it can be made of."""
    match kind.__name__:
        case "MalformedEnvelopeError":
            return kind("nonce", "11 bytes", remedy="Look.")  # type: ignore[no-any-return]
        case "InvalidFilterError":
            return kind("Unexpected )", position=7, remedy="Look.")  # type: ignore[no-any-return]
        case "InvalidFieldError":
            return kind("It is no ARN.", field="principals", remedy="Look.")  # type: ignore[no-any-return]
        case "ApprovalNeededError":
            return kind("It needs a second identity.", request="7", remedy="Look.")  # type: ignore[no-any-return]
    return kind("It failed.", remedy="Look.")  # type: ignore[no-any-return]


def test_every_error_survives_the_way_from_a_worker_process() -> None:
    for package in (console, crypto_core, screens):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith((".__main__", ".migrations.env")):  # these do something at once
                importlib.import_module(module.name)
    ours = ("console", "crypto_core", "screens")
    kinds = [kind for kind in subclasses_of(KeydeckError) if kind.__module__.partition(".")[0] in ours]
    assert len(kinds) > 60
    for kind in kinds:
        error = made(kind)
        for arrived in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(arrived) is kind
            assert str(arrived) == str(error)
            assert vars(arrived) == vars(error)
            assert arrived.args == error.args
