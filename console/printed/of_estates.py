"""What a command prints for one estate after the other, as one answer in the form that was asked for."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Protocol, TextIO

from console.printed.forms import Form


class Row(Protocol):
    """Takes a line of an estate."""

    def __call__(self, name: str, line: str, *, heading: bool) -> None: ...


class EstatesOutput:
    """Standard output for all of them. A document has a member for each, a row begins with its estate."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._out: TextIO = sys.stdout
        self._headed = False
        self._first = True

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Print what a command prints meanwhile as the answer of an estate."""
        printed = _Lines(self._row, name) if self._form in (Form.JSONL, Form.CSV) else io.StringIO()
        if self._form is Form.TABLE:
            self._out.write(f"{'' if self._first else chr(10)}Estate {name}\n")
            yield
        else:
            with redirect_stdout(printed):
                yield
        if self._form is Form.JSON:
            self._out.write(f"{'{' if self._first else ','}\n{json.dumps(name)}: {_document(printed)}")
        elif self._form is Form.YAML:
            text = printed.getvalue() or "null\n"
            self._out.write(f"{json.dumps(name)}:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
        self._first = False

    def end(self) -> None:
        """Print what ends the answer."""
        if self._form is Form.JSON:
            self._out.write("{}\n" if self._first else "\n}\n")

    def _row(self, name: str, line: str, *, heading: bool) -> None:
        if self._form is Form.JSONL:
            self._out.write(json.dumps({"estate": name})[:-1] + ", " + line.lstrip()[1:] + "\n")
        elif heading:
            if not self._headed:
                self._out.write(f"estate,{line}\n")
            self._headed = True
        else:
            csv.writer(self._out, lineterminator="").writerow([name])
            self._out.write(f",{line}\n")


class _Lines(io.StringIO):
    """Hands on each line once it is whole: a list of any length is not held."""

    def __init__(self, row: Row, name: str) -> None:
        super().__init__()
        self._row, self._name = row, name
        self._rest, self._heading = "", True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._row(self._name, line.rstrip("\r"), heading=self._heading)
                self._heading = False
        return len(text)


def _document(printed: io.StringIO) -> str:
    return printed.getvalue().strip() or "null"
