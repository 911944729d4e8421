"""Where the setting `receipts` (KEYDECK_RECEIPTS) sends receipts."""

from __future__ import annotations

from collections.abc import Callable

from crypto_core.errors import SettingsError
from crypto_core.receipts.recorder import ReceiptRecorder, ReceiptSink
from crypto_core.receipts.sinks import FileSink, LoggerSink
from crypto_core.text.file_paths import expanded

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
    """Return what records receipts where the setting says, None for nowhere. Raises SettingsError.

    `table` makes the sink of the database's table.
    """
    value = require_destination(setting)
    if value == OFF:
        return None
    if value == LOG:
        return ReceiptRecorder(LoggerSink())
    if value == TABLE:
        return ReceiptRecorder(table())
    return ReceiptRecorder(FileSink(expanded(value.removeprefix(FILE))))
