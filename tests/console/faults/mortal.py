"""Commands in processes of their own, each of which may end at a chosen moment, as by SIGKILL from outside.

A line of the standard input is an order, a JSON document: `arguments` of keydeck, `environment`, `said` (the
file that gets its output) and `moment`. What all of them need is loaded, read and compiled once, and each is
forked from that: hundreds of consoles can die in a minute. Told is the process, and then how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any, NoReturn

from botocore.client import BaseClient

from console.__main__ import run
from console.host.host_processes import HostProcesses
from crypto_core.database.state.incident_changes import IncidentChange
from crypto_core.database.tokens.chunks import ChunkStore
from crypto_core.database.tokens.store import TokenStore
from crypto_core.incidents.steps import evidence_capture, run_action, step_checks
from crypto_core.providers.transport import Transport
from crypto_core.reencryption.jobs.service import JobService
from tests import made_once

LOADED = (
    "boto3",
    "httpx",
    "console.commands.incident",
    "console.container",
    "console.incident_services",
    "console.key_services",
    "console.token_services",
    "crypto_core.incidents.keys.toolbox",
    "crypto_core.incidents.report.service",
    "crypto_core.incidents.service",
    "crypto_core.incidents.tokens.toolbox",
    "crypto_core.trail.store",
)
ASKED_BEFORE = (["findings"], ["incident", "list"], ["keys", "disable", "--dry-run"])
"""What a console asks at a step, without a step; the last about the key that the platform writes under."""
CHUNK = 10

POINTS: dict[str, tuple[type, str, bool]] = {
    "its action is begun": (run_action.StepActions, "_begun", True),
    "its effect is not remembered": (run_action.StepActions, "_kept", False),
    "its effect is remembered": (run_action.StepActions, "_kept", True),
    "its check was looked at": (step_checks.StepProof, "_seen", True),
    "evidence is captured and not kept": (evidence_capture.StepEvidence, "_keep", False),
    "some evidence is kept": (evidence_capture.StepEvidence, "_keep", True),
    "it is proved and not ended": (step_checks.StepProof, "_end", False),
    "a change is not committed": (IncidentChange, "record", True),
    "its job is started": (JobService, "start_job", True),
    "its job has written a part": (ChunkStore, "finish_chunk", True),
    "a token is not written": (TokenStore, "write_tokens", False),
    "a token is written": (TokenStore, "write_tokens", True),
    "a provider was asked": (Transport, "send", True),
}
"""Where a process ends: a function, and whether after it or before."""
CALL = "AWS has done "
"""Begins a moment after one operation of AWS."""


def die(*_: Any) -> NoReturn:
    """End as by the kernel: nothing is written, closed or told."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nothing survives this")


def _ends_at(owner: type, name: str, *, after: bool, only: Callable[..., bool] = lambda *_: True) -> None:
    whole = getattr(owner, name)

    def ending(*args: Any, **kwargs: Any) -> Any:
        if not after and only(*args):
            die()
        result = whole(*args, **kwargs)
        if only(*args):
            die()
        return result

    setattr(owner, name, ending)


def prepare(moment: str) -> None:
    """Let this process end at a moment, "" for none."""
    if moment.startswith(CALL):
        wanted = moment.removeprefix(CALL)
        _ends_at(BaseClient, "_make_api_call", after=True, only=lambda _, name, *__: name == wanted)
    elif moment:
        owner, name, after = POINTS[moment]
        _ends_at(owner, name, after=after)
        if owner is ChunkStore:
            # Further processes may write all of it first.
            HostProcesses.work_on = lambda *_, **__: None  # type: ignore[method-assign]


def _live(order: dict[str, Any]) -> NoReturn:
    """Be the process that was ordered."""
    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    cut: Any = ChunkStore.cut_scope
    cut.__kwdefaults__["size"] = CHUNK
    prepare(order["moment"])
    code = 3
    try:
        code = run(order["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ask_before() -> None:
    """Ask what all of them ask, so that they have what is read and compiled for it. Raises RuntimeError."""
    for asked in ASKED_BEFORE:
        key = [os.environ["TOKEN_ENCRYPTION_KEY_ID"]] if "keys" in asked else []
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = run([*asked, *key])
        if code not in (0, 1):
            raise RuntimeError(f"{asked}: {code} {said.getvalue()}")
    # Nothing is under way where it would be forked.
    for thread in set(threading.enumerate()) - {threading.main_thread()}:
        thread.join()


def main() -> None:
    """Take orders until the standard input ends."""
    made_once.share()
    for name in LOADED:
        import_module(name)
    _ask_before()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _live(json.loads(line))
        print(json.dumps({"pid": pid}), flush=True)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"pid": pid, "code": code}), flush=True)


if __name__ == "__main__":
    main()
