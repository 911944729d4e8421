"""The outsider's verifier as it is given out: loaded from the assembled file, not from the product."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from crypto_core.compliance.proof.assembly import verifier_source


@cache
def assembled() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keydeck_verifier.py"
        path.write_bytes(verifier_source())
        spec = importlib.util.spec_from_file_location("keydeck_verifier", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["keydeck_verifier"] = module
        spec.loader.exec_module(module)
    return module
