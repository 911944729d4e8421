"""Documents for programs: JSON and YAML, ASCII only, so that no foreign character acts on a terminal."""

from __future__ import annotations

import json
from typing import Any


def json_text(document: Any, indent: int | None = None) -> str:
    """Return a document as JSON."""
    return json.dumps(document, indent=indent, ensure_ascii=True)


def yaml_text(document: Any) -> str:
    """Return a document as YAML, with an end of line. What JSON can't hold is a TypeError."""
    import yaml

    plain = json.loads(json.dumps(document))  # texts of other types would get YAML's tags
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=False, width=1_000)
    return text
