"""All the ways in which Python programs show, log, store or copy what they hold, tried on a secret."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import io
import json
import logging
import os
import pickle
import pprint
import re
import reprlib
import string
import subprocess
import sys
import textwrap
import traceback
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import rich
import rich.pretty
import rich.traceback
from rich.console import Console

from crypto_core.keyring.cipher import OpenedToken, SealedToken
from crypto_core.keyring.data_keys import GeneratedDataKey, KeyAnswer, RewrappedDataKey
from crypto_core.values.secret import DataKey, Secret
from tests.crypto_core.canary import CANARY, assert_tells_nothing, chain_of

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass
class Holder:
    """A dataclass like any that holds a secret."""

    token: Any
    kept: list[Any] = dataclasses.field(default_factory=list)


@pytest.fixture(params=[Secret, DataKey])
def hidden(request: pytest.FixtureRequest) -> Any:
    return request.param(CANARY.encode())


def printed(shown: Any) -> str:
    """What rich prints of it."""
    console = Console(file=io.StringIO(), width=200)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def inspected(shown: Any, **what: bool) -> str:
    """What rich.inspect prints of it: the public attributes, their values and documentation."""
    console = Console(file=io.StringIO(), width=200)
    rich.inspect(shown, console=console, **what)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


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
        lambda s: json.dumps({"token": s}, default=str),
        lambda s: json.dumps([s], default=repr),
        lambda s: string.Template("opened $token").substitute(token=s),
        lambda s: textwrap.fill(str(s), 8),
        lambda s: "{:^60s}|{!r:.12}".format(s, s),  # noqa: UP032
        lambda s: "".join(map(str, [s])),
        lambda s: reprlib.repr([s, {"token": s}]),
        lambda s: repr(mock.call(token=s)),
        lambda s: repr(types.SimpleNamespace(token=s)),
        lambda s: repr(Holder(s)),
        lambda s: repr(Holder(s, kept=[s])),
        lambda s: rich.pretty.pretty_repr({"token": s, "held": Holder(s, kept=[s])}, expand_all=True),
        lambda s: printed(rich.pretty.Pretty(s)),
        lambda s: inspected(s, all=True),
        lambda s: inspected(s, private=True),
        printed,
        lambda s: printed(f"[bold]{s}[/]"),
        inspected,
        lambda s: inspected(s, methods=True, docs=True),
        lambda s: inspected(Holder(s)),
        lambda s: logging.LogRecord("x", 10, "f", 1, "opened %s", (s,), None).getMessage(),
        lambda s: str(ValueError(s)) + repr(ValueError(s)),
    ],
)
def test_no_way_to_show_it_shows_it(show: Callable[[Any], str], hidden: Any) -> None:
    shown = show(hidden)
    assert type(hidden).__name__ in shown or "wipe" in shown
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
        textwrap.dedent,
        base64.b64encode,
        hashlib.sha256,
        io.BytesIO,
        int.from_bytes,
        os.fsencode,
        weakref.ref,
        lambda s: io.StringIO().write(s),
        lambda s: bytearray(8).__iadd__(s),
        lambda s: re.search("gh", s),
        lambda s: json.dumps(s, default=vars),
        lambda s: dataclasses.astuple(Holder(s)),
        lambda s: pickle.dumps(Holder(s)),
        lambda s: pickle.dumps(logging.LogRecord("x", 10, "f", 1, "opened %s", (s,), None)),
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


@pytest.mark.parametrize(
    "take", [textwrap.fill, lambda s: s.__dict__, lambda s: s.split("_"), lambda s: s.view]
)
def test_it_has_nothing_of_a_text_or_a_namespace(take: Callable[[Any], Any], hidden: Any) -> None:
    with pytest.raises(AttributeError) as caught:
        take(hidden)
    assert_tells_nothing(chain_of(caught.value))


def test_no_attribute_can_be_added_to_it(hidden: Any) -> None:
    with pytest.raises(AttributeError):
        hidden.token = CANARY


def test_what_is_stored_stays_out_of_the_repr_of_results() -> None:
    answer = KeyAnswer("arn:aws:kms:eu-west-1:123456789012:key/x", None)
    assert_tells_nothing(repr(SealedToken(CANARY, answer)))
    assert_tells_nothing(repr(RewrappedDataKey(CANARY.encode(), answer, answer)))


# Logs


def test_a_log_record_shows_nothing_of_it(hidden: Any) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(message)s | %(token)s | %(held)r"))
    logger = logging.getLogger(f"{__name__}.{type(hidden).__name__}")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    extra = {"token": hidden, "held": {"token": hidden}}
    logger.info("opened %s, %r, %-40s", hidden, hidden, hidden, extra=extra)
    logger.info("opened %(token)s", {"token": hidden}, extra=extra)
    logger.info(hidden, extra=extra)
    try:
        failure_with(hidden, at_once=True)
    except RuntimeError:
        logger.exception("failed with %s", [hidden], extra=extra, stack_info=True)
    assert written.getvalue().count("(hidden)") > 12
    assert_tells_nothing(written.getvalue())


def test_a_log_record_written_as_json_shows_nothing_of_it(hidden: Any) -> None:
    record = logging.LogRecord("x", logging.INFO, "file", 1, "opened %s", (hidden,), None)
    record.token = hidden
    text = json.dumps(vars(record), default=str)
    assert text.count("(hidden)") == 2
    assert_tells_nothing(text)


# Tracebacks that show local variables


def failure_with(secret: Any, *, at_once: bool = False) -> RuntimeError:
    """An exception with a secret in its arguments and in the locals of three frames."""

    def deepest(token: Any, held: Any) -> None:
        everything = [token, held, Holder(token)]
        raise RuntimeError(token, len(everything))

    def between(token: Any) -> None:
        held = {"token": token, "holder": Holder(token, [token])}
        try:
            deepest(token, held)
        except RuntimeError as error:
            raise RuntimeError(f"while opening {token}") from error

    if at_once:
        between(secret)
    try:
        between(secret)
    except RuntimeError as error:
        return error
    raise AssertionError("it did not fail")


def test_a_traceback_with_local_variables_shows_nothing_of_it(hidden: Any) -> None:
    error = failure_with(hidden)
    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "everything = [" in text
    assert text.count("(hidden)") > 8
    assert_tells_nothing(text)


@pytest.mark.parametrize("options", [{}, {"locals_hide_dunder": False, "locals_hide_sunder": False}])
def test_richs_traceback_with_local_variables_shows_nothing_of_it(hidden: Any, options: Any) -> None:
    error = failure_with(hidden)
    shown = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, **options
    )
    text = printed(shown)
    assert "everything" in text
    assert text.count("(hidden)") > 8
    assert_tells_nothing(text)


FAILING_TESTS = """
import dataclasses
import os

from crypto_core.values.secret import DataKey, Secret


@dataclasses.dataclass
class Holder:
    token: object


def one(kind):
    return kind(os.environ["HIDDEN_CONTENT"].encode())


def other(kind):
    return kind(os.environ["HIDDEN_CONTENT"].encode() + b"2")


def test_equality(): secret, key = one(Secret), one(DataKey); assert secret == other(Secret)
def test_inequality(): secret = one(DataKey); assert secret != one(DataKey)
def test_text(): secret = one(Secret); assert secret == "text"
def test_bytes(): secret = one(Secret); assert b"bytes" == secret
def test_list(): secret = [one(Secret)]; assert secret == [other(Secret)]
def test_dict(): secret = {"token": one(Secret)}; assert secret == {"token": other(Secret), "more": 1}
def test_dataclass(): secret = Holder(one(Secret)); assert secret == Holder(other(Secret))
def test_membership(): secret = one(Secret); assert secret in [other(Secret)]
def test_truth(): secret = one(Secret); assert not secret
def test_length(): secret = one(Secret); assert len(secret) == 1
def test_identity(): secret = one(DataKey); assert secret is None
def test_message(): secret = one(Secret); assert False, secret
def test_printed(): secret = one(Secret); print(secret, [secret]); raise ValueError(secret)
"""


@pytest.mark.deep
def test_a_failing_test_shows_nothing_of_it(tmp_path: Path) -> None:
    """pytest explains what was compared, and with -l shows the local variables."""
    (tmp_path / "test_failing.py").write_text(FAILING_TESTS)
    environment = os.environ | {"HIDDEN_CONTENT": CANARY, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    options = [
        "-vv",
        "--showlocals",
        "--tb=long",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-c",
        os.devnull,
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    failing = FAILING_TESTS.count("def test_")
    assert f"{failing} failed" in run.stdout
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "assert Secret(hidden) == Secret(hidden)" in run.stdout
    assert "secret     = DataKey(hidden)" in run.stdout
    assert_tells_nothing(run.stdout + run.stderr)
