"""What receipts cost a decryption, beside opening the envelope. KMS is excluded.

    python -m tests.benchmarks.receipts [--json] [--rounds N] [--calls N]

A v1 envelope is opened, with its data key from memory, by a `TokenCipher` that writes no receipts and by ones
that do: to a function that drops them, to a file, and of callers that name no row, whose receipts have the
stored value's SHA-256. All are timed in one run, in interleaved rounds, by the process's CPU time: what the
recorder's own thread needs is in it. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crypto_core.aws.receipts.call_subject import note_call
from crypto_core.aws.receipts.destination import FileSink
from crypto_core.aws.receipts.recorder import ReceiptRecorder
from crypto_core.envelope import Format, seal, serialise
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import KeyAnswer, UnwrappedDataKey
from crypto_core.values.secret import DataKey, Secret
from tests.benchmarks.envelopes import DATA_KEY, ENCRYPTED_DATA_KEY, KEY_ARN, REF, TOKEN
from tests.benchmarks.measuring import Target, Timing, options, report

LIMIT_MICROSECONDS = 5.0
WITHOUT, DROPPED, IN_FILE, BY_DIGEST = "no receipts", "a function", "a file", "a file, no row named"


class KeyringInMemory:
    """A keyring that opens every data key at once, and notes the call as KMS's client does."""

    binding = None

    def __init__(self) -> None:
        self._calls = 0

    def unwrap(self, *_: Any, **__: Any) -> UnwrappedDataKey:
        self._calls += 1
        note_call(None, "Decrypt", f"8f2b3c1d-0000-4000-8000-{self._calls:012d}")
        return UnwrappedDataKey(DataKey(DATA_KEY), KeyAnswer(KEY_ARN, None))


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    recorder: ReceiptRecorder | None
    named: bool = True


def rows(folder: Path) -> Iterator[Row]:
    yield Row(WITHOUT, None)
    yield Row(DROPPED, ReceiptRecorder(lambda batch: None, most=10**7))
    yield Row(IN_FILE, ReceiptRecorder(FileSink(folder / "named.jsonl"), most=10**7))
    yield Row(BY_DIGEST, ReceiptRecorder(FileSink(folder / "digests.jsonl"), most=10**7), named=False)


def timed(row: Row, calls: int) -> float:
    cipher = TokenCipher(KeyringInMemory(), receipts=row.recorder)  # type: ignore[arg-type]
    with Secret(TOKEN) as token, DataKey(DATA_KEY) as data_key:
        stored = serialise(seal(token, data_key, ENCRYPTED_DATA_KEY, format_=Format.V1))
    open_: Callable[[], Secret] = (
        (lambda: cipher.decrypt(stored, ref=REF)) if row.named else (lambda: cipher.decrypt(stored))
    )
    started = time.process_time()
    for _ in range(calls):
        open_().wipe()
    if row.recorder is not None and not row.recorder.flush(60):
        raise SystemExit("The receipts were not written.")
    return (time.process_time() - started) / calls


def main(arguments: Sequence[str] | None = None) -> int:
    parser = options("Time what receipts cost a decryption.", rounds=7)
    parser.add_argument("--calls", type=int, default=20_000, help="decryptions a round (%(default)s)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        ways = list(rows(Path(folder)))
        samples: dict[str, list[float]] = {row.name: [] for row in ways}
        for _ in range(given.rounds):
            for row in ways:
                samples[row.name].append(timed(row, given.calls))
        lost = sum(row.recorder.lost for row in ways if row.recorder is not None)
    timings = {name: Timing(tuple(taken)) for name, taken in samples.items()}
    floor = timings[WITHOUT].median
    more = {name: (timing.median - floor) * 1e6 for name, timing in timings.items() if name != WITHOUT}
    targets = [
        *[
            Target(f"receipts to {name}", cost, LIMIT_MICROSECONDS, "µs a decrypt")
            for name, cost in more.items()
        ],
        Target("receipts lost", float(lost), 1.0, "receipts"),
    ]
    return report(
        targets,
        ("opening a token", "µs", "of it for receipts"),
        [(name, f"{t.median * 1e6:.2f}", f"{more.get(name, 0.0):.2f}") for name, t in timings.items()],
        as_json=given.json,
    )


if __name__ == "__main__":
    sys.exit(main())
