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

from tests.benchmarks.measuring import (
    Target,
    Timing,
    environment,
    exit_status,
    options,
    print_json,
    print_table,
    print_targets,
)

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
    """Time both imports and print them. Returns the exit status."""
    chosen = options("Time the import of crypto_core.", rounds=15).parse_args(arguments)
    # The first import compiles what has no byte code yet; it isn't counted.
    loaded = {module: imported(module)[1] for module in (OURS, AES_GCM)}
    samples: dict[str, list[float]] = {OURS: [], AES_GCM: []}
    for _ in range(chosen.rounds):
        for module, taken in samples.items():
            taken.append(imported(module)[0])
    timings = {module: Timing(tuple(taken)) for module, taken in samples.items()}

    unwanted = [name for name in UNWANTED if name in loaded[OURS]]
    targets = [Target(f"import {OURS}", timings[OURS].median, LIMIT_MS, "ms")]
    status = 1 if unwanted else exit_status(targets)
    versions = environment("cryptography")
    if chosen.json:
        document = {
            "rounds": chosen.rounds,
            "versions": versions,
            "rows": [
                {
                    "module": module,
                    "median_ms": round(timing.median, 3),
                    "best_ms": round(timing.best, 3),
                    "modules_loaded": len(loaded[module]),
                }
                for module, timing in timings.items()
            ],
            "ratio": round(timings[OURS].median / timings[AES_GCM].median, 3),
            "unwanted_loaded": unwanted,
            "targets": [target.as_json() for target in targets],
        }
        print_json(document)
        return status

    print(f"Processor time, median of {chosen.rounds} fresh interpreters each")
    print(", ".join(f"{name} {version}" for name, version in versions.items()) + "\n")
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
    print_table(("", "ms", "best", "× AES-GCM alone", "modules"), rows)
    print_targets(targets)
    if unwanted:
        print(f"  MISSED  {OURS} loads {' and '.join(unwanted)}")
    else:
        print(f"  met     {OURS} loads neither {' nor '.join(UNWANTED)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
