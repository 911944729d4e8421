"""Coverage-guided fuzzing of what reads text from outside: stored values, references, key names, any text.

    pip install -e '.[fuzz]'
    python tests/fuzz/fuzz_envelope.py -runs=10000000
    python tests/fuzz/fuzz_envelope.py --target=built_value -max_total_time=60
    python tests/fuzz/fuzz_envelope.py CRASH-FILE

The first byte of an input picks one of TARGETS; --target=NAME runs that one alone. All other arguments are
libFuzzer's (-help=1 lists them). Without a folder for the corpus a new one is made in the system's folder for
temporary files; what is found there, crashes too, stays until it is deleted. A folder that is named is
extended, so that the next run goes on where this one ended.

A run ends with "Done …" and exit status 0, or with the traceback of the first input that breaks a promise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import atheris

HOME = Path(__file__).parents[2]
sys.path.insert(0, str(HOME))

with atheris.instrument_imports(include=["crypto_core"]):
    from tests.fuzz import names, stored_values
    from tests.fuzz.inputs import LONGEST_INPUT, mutated, seeds

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(stored_values.stored_value, stored_values.built_value, stored_values.sealed_value),
        *(stored_values.dev_value, stored_values.dev_key),
        *(names.reference, names.context, names.foreign, names.key_name),
    )
}
"""What an input's first byte picks from."""

DEFAULTS = {"-max_len": str(LONGEST_INPUT), "-timeout": "10", "-rss_limit_mb": "1024"}
"""libFuzzer's options unless given: bytes, seconds an input, megabytes."""


def arguments_of(given: list[str], folder: Path) -> list[str]:
    """Return libFuzzer's arguments: those given, our defaults, and `folder` with the seeds as a corpus."""
    set_already = {argument.partition("=")[0] for argument in given}
    options = [f"{name}={value}" for name, value in DEFAULTS.items() if name not in set_already]
    if "-artifact_prefix" not in set_already:
        options.append(f"-artifact_prefix={folder}/")
    corpus = folder / "seeds"
    corpus.mkdir()
    for number, seed in enumerate(seeds()):
        for place in range(len(TARGETS)):
            (corpus / f"{number}-{place}").write_bytes(bytes([place]) + seed)
    named = [Path(argument) for argument in given if not argument.startswith("-")]
    if any(path.is_file() for path in named):
        return [*given, *options]
    if not named:
        found = folder / "corpus"
        found.mkdir()
        options.append(str(found))
    return [*given, *options, str(corpus)]


def main() -> None:
    chosen = [a.partition("=")[2] for a in sys.argv if a.startswith("--target=")]
    given = [a for a in sys.argv[1:] if not a.startswith("--target=")]
    if unknown := [name for name in chosen if name not in TARGETS]:
        raise SystemExit(f"No target {unknown[0]}; there are {', '.join(TARGETS)}.")
    targets = [TARGETS[name] for name in chosen or TARGETS]

    def run(data: bytes) -> None:
        targets[data[0] % len(targets) if data else 0](data[1:])

    folder = Path(mkdtemp(prefix="keydeck-fuzz-"))
    print(f"Corpus and crashes: {folder}", file=sys.stderr)
    atheris.Setup([sys.argv[0], *arguments_of(given, folder)], run, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
