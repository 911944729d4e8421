"""Time stamps by RFC 3161: a time-stamping authority vouches that a checkpoint was there at its time.

The authority is sent a digest and a nonce, nothing else. Its answer is verified before it is kept: status,
nonce, digest, and its certificate by the configured roots, at the time that it names.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import AnchorError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

LARGEST_ANSWER = 65_536
SECONDS = 15.0
"""For all of an authority's answer."""
_LARGEST_CERTIFICATES = 1_048_576
_REPLY = "application/timestamp-reply"


@dataclass(frozen=True, slots=True)
class TimeStampRoots:
    """The trusted certificates at the end of the authorities' chains."""

    certificates: tuple[Certificate, ...]

    def time_of(self, answer: bytes, message: bytes, *, nonce: int | None = None) -> datetime:
        """Return the time that an authority's answer vouches for over a message. Raises AnchorError."""
        library = _library()
        builder = library.VerifierBuilder(nonce=nonce)
        for certificate in dict.fromkeys(self.certificates):
            builder = builder.add_root_certificate(certificate)
        if not 0 < len(answer) <= LARGEST_ANSWER:
            raise AnchorError("The time stamp is empty, or larger than one can be.")
        try:
            found = library.decode_timestamp_response(answer)
            builder.build().verify_message(found, message)
            at = found.tst_info.gen_time
        except (library.VerificationError, ValueError, TypeError, OverflowError) as error:
            raise AnchorError(f"The time stamp is not valid: {clean(error, 300)}") from error
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)  # type: ignore[no-any-return]

    def vouched(self, answer: bytes, message: bytes) -> datetime | str:
        """Return the time as `time_of`, to the second, or why the answer doesn't count."""
        try:
            return self.time_of(answer, message).replace(microsecond=0)
        except AnchorError as error:
            return error.message


class TimeStampAuthority:
    """A time-stamping authority over HTTP; `seconds` are for the whole answer."""

    def __init__(self, url: str, roots: TimeStampRoots, *, seconds: float = SECONDS) -> None:
        self.where = clean(url, 300)
        self._url, self._roots, self._seconds = url, roots, seconds

    def stamp(self, message: bytes) -> tuple[bytes, datetime]:
        """Return a verified time stamp over a message, and its time. Raises AnchorError."""
        library = _library()
        request = (
            library.TimestampRequestBuilder()
            .data(message)
            .hash_algorithm(library.HashAlgorithm.SHA256)
            .build()
        )
        answer = self._ask(request.as_bytes())
        return answer, self._roots.time_of(answer, message, nonce=request.nonce)

    def _ask(self, request: bytes) -> bytes:
        import httpx

        headers = {"Content-Type": "application/timestamp-query", "Accept": _REPLY}
        end = time.monotonic() + self._seconds
        parts, size = [], 0
        try:
            with (
                httpx.Client(timeout=min(self._seconds, 10.0), follow_redirects=False) as client,
                client.stream("POST", self._url, content=request, headers=headers) as response,
            ):
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if response.status_code != httpx.codes.OK or kind != _REPLY:
                    raise AnchorError(
                        f"{self.where} answered {response.status_code} with {clean(kind, 60) or 'no type'}, "
                        "not with a time stamp.",
                        remedy="Check KEYDECK_TSA_URL.",
                    )
                for part in response.iter_bytes():
                    size += len(part)
                    if size > LARGEST_ANSWER or time.monotonic() > end:
                        raise AnchorError(f"{self.where} answered too much, or too slowly.")
                    parts.append(part)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise AnchorError(f"{self.where} can't be asked: {type(error).__name__}.") from error
        return b"".join(parts)


def read_roots(path: Path) -> TimeStampRoots:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        with path.open("rb") as file:
            certificates: Sequence[Certificate] = load_pem_x509_certificates(file.read(_LARGEST_CERTIFICATES))
    except OSError as error:
        raise AnchorError(f"{clean(path)} can't be read: {clean(error.strerror)}.") from error
    except ValueError as error:
        raise AnchorError(f"{clean(path)} holds no certificates in PEM.") from error
    return TimeStampRoots(tuple(certificates))


def _library() -> Any:
    try:
        import rfc3161_client
    except ImportError as error:
        raise AnchorError(
            "Time stamps take a further library.", remedy="Install it with: pip install 'keydeck[anchors]'."
        ) from error
    return rfc3161_client
