"""Where the setting `receipts` (KEYDECK_RECEIPTS) sends receipts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt
from crypto_core.aws.receipts.recorder import ReceiptRecorder, ReceiptSink
from crypto_core.lists.new_files import ExportError, open_to_append
from crypto_core.values.errors import ReceiptError, SettingsError
from crypto_core.values.typed_names import expanded

LOGGER = "keydeck.receipts"


class LoggerSink:
    """Logs each receipt as one line of JSON, at INFO. Handlers format and keep them."""

    def __init__(self, name: str = LOGGER) -> None:
        self._logger = logging.getLogger(name)

    def __call__(self, batch: Sequence[Receipt | LostReceipts]) -> None:
        """Log the batch. Raises ReceiptError where the logger lets none through: they would be lost."""
        if not self._logger.isEnabledFor(logging.INFO):
            raise ReceiptError(
                f"The logger {self._logger.name} does not let INFO through.",
                remedy=f'Set its level: logging.getLogger("{self._logger.name}").setLevel("INFO").',
            )
        for receipt in batch:
            self._logger.info("%s", receipt.as_json_line())


class FileSink:
    """Appends to a file that only its owner reads. After the file was moved away, a new one is begun."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __call__(self, batch: Sequence[Receipt | LostReceipts]) -> None:
        """Append the batch. Raises ReceiptError, which names the file."""
        lines = "".join(f"{receipt.as_json_line()}\n" for receipt in batch).encode()
        try:
            descriptor = self._opened()
            left = memoryview(lines)
            while left:
                left = left[os.write(descriptor, left) :]
        except (OSError, ExportError) as error:
            self._close()  # opened anew, a line that was cut short is ended
            raise ReceiptError(f"Receipts can't be written to {self._path}: {error}") from error

    def _opened(self) -> int:
        if self._descriptor is not None:
            here = os.fstat(self._descriptor)
            try:
                there = self._path.stat()
            except FileNotFoundError:
                there = None
            if there is not None and (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return self._descriptor
            self._close()
        self._descriptor = open_to_append(self._path)
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


OFF, LOG, TABLE, FILE = "off", "log", "table", "file:"


def require_destination(setting: str) -> str:
    """Return the setting, "off" where it is empty. Raises SettingsError for what names no place."""
    value = setting.strip() or OFF
    if value in (OFF, LOG, TABLE):
        return value
    if value.startswith(FILE) and expanded(value.removeprefix(FILE)).is_absolute():
        return value
    raise SettingsError(
        "KEYDECK_RECEIPTS names no place for receipts.",
        remedy="Set it to off, log, table, or file: with the absolute path of a file.",
    )


def recorder_for(setting: str, table: Callable[[], ReceiptSink]) -> ReceiptRecorder | None:
    """Return the setting's recorder, None for off; `table` makes its sink. Raises SettingsError."""
    value = require_destination(setting)
    if value == OFF:
        return None
    if value == LOG:
        return ReceiptRecorder(LoggerSink())
    if value == TABLE:
        return ReceiptRecorder(table())
    return ReceiptRecorder(FileSink(expanded(value.removeprefix(FILE))))
