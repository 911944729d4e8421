"""How long `import crypto_core` takes in a fresh interpreter, and that it leaves boto3 alone.

    python -m tests.benchmarks.imports [--json] [--rounds N]

A round starts one interpreter for each import, so a slow moment of the machine meets both alike. The time is
processor time of the import statement alone, without the interpreter's start. AES-GCM of the cryptography
library is the part that no envelope can do without. Exit status 1 if a target is missed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measuring import Target, Timing, options, report

HOME = Path(__file__).parents[2]
OURS, AES_GCM = "crypto_core", "cryptography.hazmat.primitives.ciphers.aead"
LIMIT_MS = 60.0
UNWANTED = ("boto3", "botocore")

PROGRAM = """
import json, sys, time
before = set(sys.modules)
start = time.process_time()
import {module}
took = time.process_time() - start
print(json.dumps([took * 1000, sorted(set(sys.modules) - before)]))
"""


def imported(module: str) -> tuple[float, list[str]]:
    """Return the milliseconds of a fresh interpreter's import, and the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        check=True,
        capture_output=True,
        text=True,
        cwd=HOME,
    )
    took, loaded = json.loads(done.stdout)
    return took, loaded


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = options("Time the import of crypto_core.", rounds=15).parse_args(arguments)
    # The first import compiles what has no byte code yet; it isn't counted.
    loaded = {module: imported(module)[1] for module in (OURS, AES_GCM)}
    samples: dict[str, list[float]] = {OURS: [], AES_GCM: []}
    for _ in range(chosen.rounds):
        for module, taken in samples.items():
            taken.append(imported(module)[0])
    timings = {module: Timing(tuple(taken)) for module, taken in samples.items()}

    unwanted = [name for name in UNWANTED if name in loaded[OURS]]
    targets = [
        Target(f"import {OURS}", timings[OURS].median, LIMIT_MS, "ms"),
        Target(f"modules of {' and '.join(UNWANTED)} that {OURS} loads", len(unwanted), 1, ""),
    ]
    rows = [
        (
            f"import {module}",
            f"{timing.median:.1f}",
            f"{timing.best:.1f}",
            f"{timing.median / timings[AES_GCM].median:.2f}",
            str(len(loaded[module])),
        )
        for module, timing in timings.items()
    ]
    heads = ("", "ms", "best", "× AES-GCM alone", "modules")
    return report(targets, heads, rows, as_json=chosen.json, packages=["cryptography"])


if __name__ == "__main__":
    sys.exit(main())
