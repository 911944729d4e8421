"""What runs the watch elsewhere: a systemd unit, a Kubernetes manifest. Plain files of the package."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib import metadata, resources

from console.own_folders import this_command

UNIT, MANIFEST = "keydeck-watch.service", "keydeck-watch.yaml"


def systemd_unit(arguments: Sequence[str]) -> str:
    # In a unit a percent sign begins a specifier.
    command = shlex.join([this_command(), *arguments]).replace("%", "%%")
    return _text(UNIT).replace("{command}", command)


def kubernetes_manifest(arguments: Sequence[str], port: int) -> str:
    return _text(MANIFEST).format(
        version=metadata.version("keydeck"), arguments=json.dumps(list(arguments)), port=port
    )


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
