"""Makes the outsider's verifier, one file, of the rules of verification."""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from importlib.resources import files

from crypto_core.compliance.proof import outsider, pack, records
from crypto_core.proof import forms, journal

VERIFIER = "verifier.py"
MODULES = (forms, journal, records, pack, outsider)
HEAD = '''"""Verifies an evidence pack of Keydeck, or its journal, without Keydeck, AWS or a network.

    python3 verifier.py PACK --public-key key.pem --checkpoint kept.json --tsa-certificates tsa.pem
    python3 verifier.py --journal journal.jsonl --public-key key.pem --anchors kept.jsonl

Get this file, the public key and what you kept from elsewhere: whoever changed a pack changed them with it.
It proves that the pack is what its manifest lists; that manifest, records and checkpoints are signed with
your key; that journal and records are a chain each, without a gap; and that history up to a checkpoint that
YOU kept, or that an authority time-stamped, is what it was then. It does not prove that what was measured is
true, nor that reports say what the records say. Who owns database and signing key can make everything anew:
only what was kept elsewhere or time-stamped stands against that.
Exit code: 0 nothing is wrong, 1 something is, 2 wrong usage, 3 not proved: OpenSSL is missing, not all could
be checked, nothing is signed, or a break was acknowledged that speaks against what you kept.

It is made of the modules by which Keydeck itself verifies: the rules stand once.
"""
'''


@cache
def verifier_source() -> bytes:
    """Return the file, as `keydeck evidence verifier` writes it and as each pack holds it."""
    plain: set[str] = set()
    names: dict[str, set[str]] = {}
    parts: list[str] = []
    for module in MODULES:
        room, _, name = module.__name__.rpartition(".")
        text = files(room).joinpath(f"{name}.py").read_text()
        lines = text.splitlines()
        title, *body = ast.parse(text).body
        for node in (title, *body):
            if isinstance(node, ast.Import):
                plain |= {one.name for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("crypto_core."):
                names.setdefault(node.module or "", set()).update(one.name for one in node.names)
        for node in (title, *body):
            if node is title or isinstance(node, ast.Import | ast.ImportFrom):
                lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - node.lineno + 1)
        heading = (ast.get_docstring(ast.parse(text)) or "").splitlines()
        told = "\n".join(f"# {line}".rstrip() for line in heading)
        parts.append(f"# --- {name} ---\n{told}\n\n" + "\n".join(lines).strip("\n"))
    names.pop("__future__")
    imports = [f"import {one}" for one in sorted(plain)]
    imports += [f"from {one} import {', '.join(sorted(names[one]))}" for one in sorted(names)]
    head = f"{HEAD}\nfrom __future__ import annotations\n\n" + "\n".join(imports)
    whole = "\n\n\n".join([head, *parts]) + "\n"
    return re.sub("\n{4,}", "\n\n\n", re.sub("  # noqa.*", "", whole)).encode()


def verifier_digest() -> str:
    """Return its SHA-256 in hex."""
    return hashlib.sha256(verifier_source()).hexdigest()
