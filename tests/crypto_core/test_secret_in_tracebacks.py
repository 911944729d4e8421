"""What a failure to seal or open leaves in the frames of its traceback, where a crash report reads it."""

from __future__ import annotations

import gc
import io
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import rich.traceback
from rich.console import Console

from crypto_core.envelope import (
    EnvelopeV1,
    Format,
    deferred_primitives,
    open_envelope,
    parse,
    seal,
    serialise,
    v2,
)
from crypto_core.values.errors import (
    AuthenticationFailedError,
    InvalidTokenError,
    MalformedEnvelopeError,
    MissingReferenceError,
)
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.envelope.samples import DATA_KEY, EDK, KEY_ARN, REF, TOKEN, sealed_v1, sealed_v2

DATA_KEYS = {"right": DATA_KEY, "other": bytes(range(7, 39)), "oversize": bytes(range(33))}
SECRETS = [TOKEN.encode(), *(key[:32] for key in DATA_KEYS.values())]
V1, V2 = sealed_v1(), sealed_v2()
OTHER_ROW = TokenRef("gh_connection", "access_token", "gh-43")
NOT_WALKED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.FrameType)


@pytest.fixture
def derived_keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Copies of the AES keys that v2 derives while the test runs."""
    derived: list[bytes] = []
    hkdf = deferred_primitives.hkdf

    def noted(input_key: Any, salt: bytes, info: bytes, length: int) -> bytearray:
        output = hkdf(input_key, salt, info, length)
        if info.startswith(v2.ENCRYPTION_LABEL):
            derived.append(bytes(output))
        return output

    monkeypatch.setattr(deferred_primitives, "hkdf", noted)
    return derived


def chain(error: BaseException) -> Iterator[BaseException]:
    links: list[BaseException | None] = [error]
    while links:
        link = links.pop()
        if link is not None:
            yield link
            links += [link.__cause__, link.__context__]


def frames_of(error: BaseException) -> list[types.FrameType]:
    """The frames of an exception and of all it came from, but for this file's own."""
    frames = [frame for link in chain(error) for frame, _ in traceback.walk_tb(link.__traceback__)]
    return [frame for frame in frames if frame.f_code.co_filename != __file__]


def reachable(frame: types.FrameType) -> Iterator[object]:
    """A frame's local variables and what they hold, however deep."""
    seen: set[int] = set()
    values: list[object] = list(frame.f_locals.values())
    while values:
        value = values.pop()
        if id(value) in seen or isinstance(value, (*NOT_WALKED, types.TracebackType)):
            continue
        seen.add(id(value))
        yield value
        values += gc.get_referents(value)


def assert_frames_hold_none_of(error: BaseException, secrets: list[bytes]) -> None:
    frames = frames_of(error)
    assert [f for f in frames if f.f_globals["__name__"].startswith("crypto_core.")]
    for frame in frames:
        where = f"{frame.f_code.co_qualname} of {frame.f_globals['__name__']}"
        for value in reachable(frame):
            if isinstance(value, Secret | DataKey):
                assert value._wiped, f"{where} holds a {type(value).__name__} that is not wiped"
            content = bytes_of(value)
            if content is not None:
                assert not [s for s in secrets if s in content], f"{where} holds a secret"


def bytes_of(value: object) -> bytes | None:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return value.encode(errors="replace") if isinstance(value, str) else None


# These two take names of data keys, so that no frame of this file shows a secret either.


def opened(envelope: Any, data_key: str = "right", ref: TokenRef | None = REF) -> None:
    with DataKey(DATA_KEYS[data_key]) as key, open_envelope(parse(serialise(envelope)), key, ref):
        pass


def sealed(
    format_: Format,
    *,
    times: int = 1,
    data_key: str = "right",
    key_arn: str = KEY_ARN,
    ref: TokenRef | None = REF,
    entropy: Callable[[int], bytes] = bytes,
) -> None:
    with Secret(times * TOKEN.encode()) as token, DataKey(DATA_KEYS[data_key]) as key:
        seal(token, key, EDK, format_=format_, key_arn=key_arn, ref=ref, entropy=entropy)


def no_entropy(count: int) -> bytes:
    raise OSError("no entropy")


def tampered(envelope: Any) -> Any:
    """With another tag: what decrypts is the token, and must not be kept."""
    ciphertext = envelope.ciphertext
    return replace(envelope, ciphertext=ciphertext[:-1] + bytes([ciphertext[-1] ^ 1]))


FAILURES: dict[str, tuple[Callable[[], None], type[Exception]]] = {
    "v1, other data key": (lambda: opened(V1, "other"), AuthenticationFailedError),
    "v1, tag": (lambda: opened(tampered(V1)), AuthenticationFailedError),
    "v1, oversize data key": (lambda: opened(V1, "oversize"), MalformedEnvelopeError),
    "v2, other data key": (lambda: opened(V2, "other"), AuthenticationFailedError),
    "v2, other row": (lambda: opened(V2, ref=OTHER_ROW), AuthenticationFailedError),
    "v2, no row": (lambda: opened(V2, ref=None), MissingReferenceError),
    "v2, tag": (lambda: opened(tampered(V2)), AuthenticationFailedError),
    "v2, nonce": (lambda: opened(replace(V2, nonce=bytes(12))), AuthenticationFailedError),
    "v2, oversize data key": (lambda: opened(V2, "oversize"), MalformedEnvelopeError),
    "sealing v1, oversize data key": (lambda: sealed(Format.V1, data_key="oversize"), MalformedEnvelopeError),
    "sealing v1, no entropy": (lambda: sealed(Format.V1, entropy=no_entropy), OSError),
    "sealing v1, bad nonce": (lambda: sealed(Format.V1, entropy=lambda _: b"nonce"), ValueError),
    "sealing v1, long token": (lambda: sealed(Format.V1, times=4000), InvalidTokenError),
    "sealing v2, oversize data key": (lambda: sealed(Format.V2, data_key="oversize"), MalformedEnvelopeError),
    "sealing v2, no row": (lambda: sealed(Format.V2, ref=None), MissingReferenceError),
    "sealing v2, alias": (lambda: sealed(Format.V2, key_arn="alias/tokens"), MalformedEnvelopeError),
    "sealing v2, no entropy": (lambda: sealed(Format.V2, entropy=no_entropy), OSError),
    "sealing v2, bad nonce": (lambda: sealed(Format.V2, entropy=lambda _: b"nonce"), ValueError),
}
REACH_THE_DERIVED_KEY = {"v2, tag", "v2, nonce", "sealing v2, bad nonce"}


def failed(name: str) -> BaseException:
    attempt, kind = FAILURES[name]
    with pytest.raises(kind) as caught:
        attempt()
    return caught.value


@pytest.mark.parametrize("name", FAILURES)
def test_no_frame_of_a_failure_holds_data_key_derived_key_or_token(
    name: str, derived_keys: list[bytes]
) -> None:
    error = failed(name)
    assert bool(derived_keys) is (name in REACH_THE_DERIVED_KEY)
    assert_frames_hold_none_of(error, [*SECRETS, *derived_keys])


@pytest.mark.quick(6)
@pytest.mark.parametrize("name", FAILURES)
def test_no_traceback_with_local_variables_shows_them(name: str, derived_keys: list[bytes]) -> None:
    error = failed(name)
    console = Console(file=io.StringIO(), width=400)
    console.print(
        rich.traceback.Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_string=10_000
        )
    )
    shown: str = console.file.getvalue()  # type: ignore[attr-defined]
    shown += "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert shown.count("DataKey(hidden)") > 1
    for secret in [*SECRETS, *derived_keys]:
        for form in (repr(secret)[2:-1][:24], secret.hex()[:16], repr(list(secret))[1:24]):
            assert form not in shown


def test_a_walk_finds_what_is_left_behind() -> None:
    """The walk of the tests above is not blind: it finds each kind of leak in a frame of the product."""

    def leak(**left: object) -> None:
        scope = {"__name__": "crypto_core.leaking", "left": left}
        code = compile("def fail(left):\n    raise ValueError\nfail(left)", "leaking.py", "exec")
        exec(code, scope)

    for left in (
        DATA_KEY,
        bytearray(DATA_KEY),
        memoryview(bytearray(b"x" + DATA_KEY)),
        [{"deep": (DATA_KEY,)}],
        TOKEN,
        f"the token is {TOKEN}",
        EnvelopeV1(DATA_KEY, bytes(12), bytes(17)),
        Secret(b"unwiped"),
        [DataKey(DATA_KEY)],
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  # has no message
            leak(left=left)
        with pytest.raises(AssertionError, match="holds a"):
            assert_frames_hold_none_of(caught.value, [TOKEN.encode(), DATA_KEY])
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        leak(left=EDK)
    assert_frames_hold_none_of(caught.value, [TOKEN.encode(), DATA_KEY])
