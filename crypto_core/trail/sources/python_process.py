"""Starts Python processes of Keydeck's own: they get what they need of the environment, and no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_NEEDED = ("PATH", "HOME", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONUTF8", "LD_LIBRARY_PATH")
"""Variables by which Python finds what it loads."""


def start_python(module: str, *also: str) -> subprocess.Popen[bytes]:
    """Return a process that runs a module of ours, in a session of its own, spoken with by pipes.

    Of the environment it gets what Python needs, and the variables named in `also`. Raises OSError,
    ValueError, SubprocessError.
    """
    kept = {name: os.environ[name] for name in (*_NEEDED, *also) if name in os.environ}
    folder = str(Path(__file__).resolve().parents[3])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, kept.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],  # -P: what lies in the working directory is not imported
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=kept,
        start_new_session=True,
    )
