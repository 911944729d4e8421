"""Files that appear whole or not at all, are readable by their owner alone, and overwrite nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from crypto_core.errors import KeydeckError


class ExportError(KeydeckError):
    """A file that can't be written; nothing was left of it."""


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """Give a new file that only its owner reads, to be written as UTF-8 with line ends as they are given.

    It appears under its name once the block has ended well, and nothing is left of it otherwise. Raises
    ExportError for a file that is there already or can't be written.
    """
    with _appearing(path, []) as file:
        yield file


def write_new(texts: Mapping[Path, str]) -> None:
    """Write texts to new files, as `new_file` does: all of them, or none. Raises ExportError."""
    appeared: list[Path] = []
    try:
        with ExitStack() as files:
            for path, text in texts.items():
                files.enter_context(_appearing(path, appeared)).write(text)
    except BaseException:  # raised again: all of them, or none
        for path in appeared:
            path.unlink(missing_ok=True)
        raise


@contextmanager
def _appearing(path: Path, appeared: list[Path]) -> Iterator[TextIO]:
    """Give a new file, and note it once it has appeared under its name."""
    if os.path.lexists(path):
        raise ExportError(f"{path} already exists.", remedy="Choose another name.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    begun = False
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        begun = True
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        # link fails where the name is taken by now, rename would overwrite.
        os.link(partial, path)
        appeared.append(path)
    except FileExistsError as error:
        raise ExportError(f"{path} already exists.", remedy="Choose another name.") from error
    except OSError as error:
        raise ExportError(f"{path} can't be written: {error.strerror}.") from error
    finally:
        if begun:
            partial.unlink(missing_ok=True)
