"""Every setting as it is declared, for the page about settings."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise

from pydantic_core import PydanticUndefined

from console.settings import ADDED, FIELDS, CoreSettings

_IN_THE_FILE = "given in the file"
"""What a setting that has no variable says."""


def markdown() -> str:
    """Return a table: each setting's name in the environment and in the file, what it is, its default."""
    rows = ["| environment | in the file | |", "|---|---|---|"]
    says = described()
    for name, field in FIELDS.items():
        default = field.default
        shown = default not in (PydanticUndefined, None, "", (), False) and name != "dev_key"
        plain = f"{default:g}" if isinstance(default, float) else default
        text = says[name] + (f" Default: `{plain}`." if shown else "")
        variable = "" if _IN_THE_FILE in text else f"`{field.validation_alias}`"
        rows.append(f"| {variable} | `{name}` | {text} |")
    return "\n".join(rows)


def described() -> dict[str, str]:
    """Return what the source says of each setting: the text below its field."""
    says: dict[str, str] = {}
    models: tuple[type, ...] = (CoreSettings, *ADDED)
    for part in models:
        [tree] = ast.parse(inspect.getsource(part)).body
        for field, text in pairwise(tree.body) if isinstance(tree, ast.ClassDef) else ():
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    says[name] = " ".join(words.split())
                case _:
                    pass
    return says
