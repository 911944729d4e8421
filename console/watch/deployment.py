"""What runs the watch elsewhere: a systemd unit, a Kubernetes manifest. Plain files of the package."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path

UNIT, MANIFEST = "keydeck-watch.service", "keydeck-watch.yaml"


def systemd_unit(arguments: Sequence[str]) -> str:
    # In a unit a percent sign begins a specifier.
    command = shlex.join([this_command(), *arguments]).replace("%", "%%")
    return _text(UNIT).replace("{command}", command)


def this_command() -> str:
    executable = Path(sys.argv[0]).resolve()
    return str(executable if executable.name == "keydeck" else Path(sys.executable).with_name("keydeck"))


def kubernetes_manifest(arguments: Sequence[str], port: int) -> str:
    return _text(MANIFEST).format(
        version=metadata.version("keydeck"), arguments=json.dumps(list(arguments)), port=port
    )


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
