"""KMS for many tokens at once: some hundred calls under way on one event loop.

What KmsApi and KmsKeyring do for single tokens holds here too: the key of every call is pinned and the answer
checked against it, read only is read only, failures are told apart the same way, and credentials that AWS no
longer takes are looked for again. Throttled calls slow the pace of all (see pace.py).
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic
from types import TracebackType
from typing import Any, Self

from crypto_core.aws.failures import error_from_exception, error_from_response
from crypto_core.aws.kms import READ_ONLY_OPERATIONS, KmsApi
from crypto_core.aws.receipts.call_subject import note_call
from crypto_core.aws.region_failover import Routes
from crypto_core.aws.service_endpoint import tls_context
from crypto_core.aws.sessions import AccessKey
from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.keyring import checked_answers
from crypto_core.keyring.data_keys import GeneratedDataKey, RewrappedDataKey, UnwrappedDataKey
from crypto_core.log.observation import SILENT, ObservedCall, Observer
from crypto_core.reencryption.bulk.http import MAX_ANSWER_BYTES, Endpoint, WireAnswer
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.retries import ATTEMPTS, CallFailure, Refused, Retries
from crypto_core.values import errors
from crypto_core.values.key_names import is_multi_region, parse_key_name, region_of

_MOST = 20_000
"""Latencies that are kept between two looks."""


@dataclass(frozen=True, slots=True)
class CallSample:
    """The calls since the look before, each attempt counted. Latencies are in milliseconds.

    `pace` is the share of the quota that the pace keeps to, in calls a second, and `standing` why (pace.py).
    """

    calls: int = 0
    throttled: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    pace: float = 0.0
    standing: str = ""


class CallWatch:
    """Told of every call by the event loop; any one thread may look."""

    def __init__(self) -> None:
        self.calls = 0
        self.throttled = 0
        self._seen = (0, 0)
        self._seconds: list[float] = []

    def call(self, seconds: float) -> None:
        self.calls += 1
        if len(self._seconds) < _MOST:
            self._seconds.append(seconds)

    def take_sample(self) -> CallSample:
        seconds, self._seconds = self._seconds, []
        calls, throttled = self.calls, self.throttled
        before, self._seen = self._seen, (calls, throttled)
        seconds.sort()
        return CallSample(
            calls - before[0],
            throttled - before[1],
            _percentile(seconds, 0.50) * 1000,
            _percentile(seconds, 0.99) * 1000,
        )


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


LOOK_SECONDS = 5.0
"""How often botocore is asked: it renews credentials minutes before they run out."""

_log = logging.getLogger(__name__)


class LoopCredentials:
    """Credentials for one event loop: frozen, renewed ahead of time, looked for when refused.

    botocore's renew themselves where they are used, which may block for seconds. So they are asked in a
    thread, and calls go on with those at hand; only where AWS no longer takes these do calls wait.
    """

    def __init__(self, kms: KmsApi, threads: Executor, *, clock: Callable[[], float] = monotonic) -> None:
        self._kms = kms
        self._threads = threads
        self._clock = clock
        self._held: AccessKey | None = None
        self._look_at = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()

    def at_hand(self) -> AccessKey | None:
        """Return the credentials at hand unless it is time to ask for others."""
        return self._held if self._clock() < self._look_at else None

    async def key(self) -> AccessKey:
        """Return the credentials at hand; waits only for the first. Raises KmsError."""
        held = self._held
        if held is None:
            async with self._renewing:
                return self._held or await self._fetch()
        if self._clock() >= self._look_at and self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return held

    async def renewed(self, refused: AccessKey, error: errors.CredentialsError) -> AccessKey:
        """Return other credentials than those that AWS refused. Raises `error` if there are none."""
        async with self._renewing:
            if self._held is not None and self._held is not refused:
                return self._held
            loop = asyncio.get_running_loop()
            if await loop.run_in_executor(self._threads, self._kms.refused, refused.session):
                return await self._fetch()
            await loop.run_in_executor(self._threads, self._kms.give_up, error)
        raise error

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            async with self._renewing:
                await self._fetch()
        except errors.KeydeckError as error:
            # Those at hand are good until AWS says otherwise.
            _log.info("Credentials can't be looked for: %s", error)
            self._look_at = self._clock() + LOOK_SECONDS
        finally:
            self._looking = None

    async def _fetch(self) -> AccessKey:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._kms.access_key)
        self._look_at = self._clock() + LOOK_SECONDS
        if self._held is None or found != self._held:
            self._held = found
        return self._held


_SKEWED = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
_SKEWED_SIGNATURE = ("Signature expired", "Signature not yet current")
"""How InvalidSignatureException tells that only the clock is wrong."""

LEAST_SKEW_SECONDS = 30.0
"""Less than this is no reason for AWS to refuse a signature: it allows five minutes."""


def document_of(answer: WireAnswer) -> dict[str, Any] | None:
    """Return the JSON object that the body is, None if it is none or too long to be one of KMS's."""
    import orjson

    if len(answer.body) > MAX_ANSWER_BYTES:
        return None
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None  # The exception carries the body, so it ends here.
    return document if isinstance(document, dict) else None


def refusal_of(answer: WireAnswer) -> Refused:
    """Return what an answer other than 200 says, as botocore reads it."""
    document = document_of(answer) or {}
    code = str(document.get("__type") or answer.headers.get("x-amzn-errortype") or answer.status)
    message = document.get("message") or document.get("Message") or ""
    # "com.amazonaws.kms#Name" in the body, "Name:http://…" in the header.
    return Refused(answer.status, code.rpartition("#")[2].partition(":")[0], str(message), answer.headers)


def request_id_of(answer: WireAnswer) -> str:
    """Return the id that KMS gave the call, "" where there is none."""
    for name, value in answer.fields:
        if len(name) == 16 and name.lower() == b"x-amzn-requestid":
            return value.decode("latin-1")
    return ""


def take_bytes(document: dict[str, Any], name: str) -> None:
    """Put the bytes in the place of their base64; nothing where they are none."""
    try:
        document[name] = binascii.a2b_base64(document.get(name) or "", strict_mode=True)
    except (binascii.Error, TypeError, ValueError):
        document[name] = b""


def skew_of(refused: Refused, now: float, signed: float) -> float | None:
    """Return AWS's clock less `now`, in seconds; None unless it refused a signature of `signed` for that."""
    signature = refused.code == "InvalidSignatureException" and refused.message.startswith(_SKEWED_SIGNATURE)
    if not signature and refused.code not in _SKEWED:
        return None
    try:
        told = parsedate_to_datetime(refused.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return None
    return told - now if abs(told - signed) >= LEAST_SKEW_SECONDS else None


_RENEWALS = 3
"""How often one call looks for credentials: in a busy second they may be renewed and refused again."""

_CORRECTIONS = 3
"""How often one call is signed anew because the clock was wrong, which may jump while it is under way."""


class KmsTransport:
    """KMS over HTTP. An asynchronous context manager, for one event loop."""

    def __init__(
        self,
        kms: KmsApi,
        pace: CallPace,
        *,
        watch: CallWatch | None = None,
        observer: Observer = SILENT,
        attempts: int = ATTEMPTS,
        clock: Callable[[], float] = time.time,
        pins: dict[str, str] | None = None,
        routes: Routes | None = None,
    ) -> None:
        """`kms` has Regions, endpoints, time limits and credentials. `clock` is in seconds since 1970.

        `pins` are the ARNs that names of keys were first answered with, `routes` knows which Regions are
        down; both may be those of a keyring.
        """
        self._kms = kms
        self._pace = pace
        self._watch = watch or CallWatch()
        self._observer = observer
        self._attempts = attempts
        self._clock = clock
        self._skew = 0.0
        self._pins = {} if pins is None else pins
        self._homes: dict[str, str] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._routes = routes or Routes(kms)
        self._replicas: dict[str, list[str]] = {}

    async def __aenter__(self) -> Self:
        from orjson import dumps

        self._written = dumps
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="keydeck-aws")
        self._access = LoopCredentials(self._kms, self._threads)
        self._reaching = asyncio.Lock()
        self._retries = Retries()
        asyncio.get_running_loop().set_exception_handler(_log_kind)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._access.close()
        for endpoint in self._endpoints.values():
            await endpoint.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        asyncio.get_running_loop().set_exception_handler(None)

    async def generate(self, key: str, context: EncryptionContext) -> GeneratedDataKey:
        parameters = {"KeyId": key, "KeySpec": "AES_256", **_with("EncryptionContext", context)}
        answer = await self._call("GenerateDataKey", key, (key,), parameters)
        take_bytes(answer, "CiphertextBlob")
        take_bytes(answer, "Plaintext")
        return checked_answers.generated_of(answer, self._pins, key)

    async def decrypt(self, key: str, blob: bytes, context: EncryptionContext) -> UnwrappedDataKey:
        """Return the data key that `key`, and no other, had wrapped. Raises KmsError.

        Where a multi-Region key's Region does not answer, its replicas in the configured Regions are asked;
        what did not answer just now comes last.
        """
        silent: errors.KmsUnreachableError | None = None
        refused: errors.KmsError | None = None
        names = self._replicas.get(key) or await self._names(key)
        for name in names if not names[1:] else sorted(names, key=self._routes.is_down):
            parameters = {"KeyId": name, "CiphertextBlob": _text(blob), **_with("EncryptionContext", context)}
            try:
                answer = await self._call("Decrypt", name, (name,), parameters)
            except errors.KmsUnreachableError as error:
                self._routes.silent(self._homes.get(name, ""))
                silent = silent or error
            except checked_answers.REFUSALS as error:  # each replica has a state and a policy of its own
                if name == key:
                    raise
                refused = refused or error
            else:
                take_bytes(answer, "Plaintext")
                return UnwrappedDataKey(*checked_answers.data_key_of(answer, "Decrypt", self._pins, name))
        raise (
            silent
            or refused
            or errors.KeyNotFoundError(f"No Region to ask for {key}.", operation="Decrypt", key=key)
        )

    async def _names(self, key: str) -> Sequence[str]:
        """The key and its replicas in the configured Regions, found out once."""
        pinned_arn = self._pins.get(key, key)
        if not is_multi_region(pinned_arn):
            if key == pinned_arn:
                self._replicas[key] = [key]
            return (key,)
        loop = asyncio.get_running_loop()
        routes = await loop.run_in_executor(self._threads, self._routes.to, key, pinned_arn)
        names = self._replicas[key] = [key, *(name for _, name in routes if name != key)]
        return names

    async def reencrypt(
        self, blob: bytes, source: str, destination: str, context: EncryptionContext
    ) -> RewrappedDataKey:
        """Return the data key wrapped by `destination`. Raises KmsError, also for keys of two Regions."""
        checked_answers.require_same_region(source, destination)
        parameters = {
            "CiphertextBlob": _text(blob),
            "SourceKeyId": source,
            "DestinationKeyId": destination,
            **_with("SourceEncryptionContext", context),
            **_with("DestinationEncryptionContext", context),
        }
        home = source if region_of(source) else destination
        answer = await self._call("ReEncrypt", home, (source, destination), parameters)
        take_bytes(answer, "CiphertextBlob")
        return checked_answers.rewrapped_of(answer, self._pins, source, destination)

    async def _call(
        self, operation: str, home: str, keys: Sequence[str], parameters: dict[str, Any]
    ) -> dict[str, Any]:
        if self._kms.read_only and operation not in READ_ONLY_OPERATIONS:
            raise errors.ReadOnlyError(f"kms:{operation} is refused: Keydeck is in read-only mode.")
        endpoint = self._endpoints.get(self._homes.get(home, "")) or await self._reached(home)
        with ObservedCall(self._observer, operation):
            return await self._answered(endpoint, operation, keys, self._written(parameters))

    async def _answered(
        self, endpoint: Endpoint, operation: str, keys: Sequence[str], body: bytes
    ) -> dict[str, Any]:
        attempt, renewals, corrections = 1, _RENEWALS, _CORRECTIONS
        unanswered = 0
        while True:
            turn = await self._pace.turn()
            access = self._access.at_hand() or await self._access.key()
            started = time.perf_counter()
            signed = self._clock() + self._skew
            happened = await endpoint.send(operation, body, access.credentials, signed)
            seconds = time.perf_counter() - started
            self._watch.call(seconds)
            if isinstance(happened, WireAnswer) and happened.status == 200:
                if self._kms.receipts is not None:
                    note_call(self._kms.receipts, operation, request_id_of(happened), unanswered)
                return _read(happened, operation, keys)
            unanswered += not isinstance(happened, WireAnswer)
            refused = refusal_of(happened) if isinstance(happened, WireAnswer) else happened
            failure = self._retries.failure(refused)
            error = _error_of(refused, failure, operation, keys)
            if isinstance(error, errors.CredentialsError) and isinstance(refused, Refused):
                skew = skew_of(refused, self._clock(), signed)
                if skew is not None and corrections:
                    self._skew, corrections = skew, corrections - 1
                    continue
                if renewals:
                    renewals -= 1
                    await self._access.renewed(access, error)
                    continue
            if failure is CallFailure.THROTTLED:
                self._watch.throttled += 1
                self._pace.throttled(turn, seconds)
            if failure is CallFailure.FINAL or attempt >= self._attempts:
                if unanswered:
                    note_call(self._kms.receipts, operation, "", unanswered)
                raise error
            if failure is CallFailure.TRANSIENT:
                await asyncio.sleep(self._retries.wait_seconds(attempt))
            attempt += 1

    async def _reached(self, name: str) -> Endpoint:
        """KMS in the Region of the key called `name`."""
        loop = asyncio.get_running_loop()
        async with self._reaching:
            parse_key_name(name)
            region = region_of(name) or ""
            if not region:
                region = await loop.run_in_executor(self._threads, lambda: self._kms.regions[0])
            if region not in self._endpoints:
                ground = await loop.run_in_executor(self._threads, self._kms.ground, region)
                try:
                    tls = await loop.run_in_executor(
                        self._threads, tls_context, ground.endpoint_url, ground.authorities
                    )
                except OSError as error:
                    raise errors.SettingsError(
                        "The certificate authorities can't be read.", remedy="Check AWS_CA_BUNDLE."
                    ) from error
                self._endpoints[region] = Endpoint(ground, tls)
            self._homes[name] = region
        return self._endpoints[region]


def _read(answer: WireAnswer, operation: str, keys: Sequence[str]) -> dict[str, Any]:
    document = document_of(answer)
    if document is None:
        raise errors.KmsUnreadableError(
            f"What answered {operation} is not AWS.",
            operation=operation,
            key=keys[0] if keys else "",
            remedy="Check AWS_ENDPOINT_URL and the proxy.",
        )
    return document


def _error_of(
    refused: Refused | Exception, failure: CallFailure, operation: str, keys: Sequence[str]
) -> errors.KeydeckError:
    if isinstance(refused, Exception):
        return error_from_exception(refused, operation, keys)
    error = error_from_response(refused.response, operation, keys)
    if failure is CallFailure.FINAL or error.transient:
        return error
    # A code that told_apart does not know, with a status or by a name that botocore retries.
    code = "ThrottlingException" if failure is CallFailure.THROTTLED else "InternalFailure"
    return error_from_response(
        Refused(refused.status_code, code, refused.message, {}).response, operation, keys
    )


def _text(blob: bytes) -> str:
    return b64encode(blob).decode("ascii")


def _with(parameter: str, context: EncryptionContext) -> dict[str, Any]:
    return {parameter: dict(context)} if context else {}


def _log_kind(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own way logs the exception, which may carry an answer of KMS."""
    _log.warning("Event loop: %s", type(context.get("exception")).__name__)
