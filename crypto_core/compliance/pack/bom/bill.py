"""A bill as it is put together: components by their references, and what depends on what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cyclonedx.model import Property
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.crypto import CryptoProperties
from cyclonedx.model.dependency import Dependency

from crypto_core.reports.foreign_text import shown

PREFIX = "keydeck:"
"""Whose the names of properties are."""
_LIMIT = 600
_MARK = 12
"""Hexadecimal digits that keep texts apart which are shown alike."""

Values = Mapping[str, object]


def text(value: object, otherwise: str = "unknown") -> str:
    """Return a text as it may stand in the document, or `otherwise` where nothing is left of it."""
    return shown(value, _LIMIT).strip() or otherwise


def reference(kind: str, *names: str) -> str:
    """Return the reference of a thing, such as "key/arn:aws:kms:…": the same for the same names."""
    joined = "/".join(names)
    if len(names) == 1 and text(joined) == joined:
        return f"{kind}/{joined}"
    mark = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    return f"{kind}/{text(names[0])}/{mark}"


def properties(values: Values) -> list[Property]:
    """Return a property for each value that is known, one for each member of a tuple."""
    return [
        Property(name=f"{PREFIX}{name}", value=text(one))
        for name, value in values.items()
        for one in (value if isinstance(value, tuple) else (value,))
        if one is not None and one != ""
    ]


@dataclass(slots=True)
class Bill:
    """Components and dependencies. What has the same reference is the same thing, and is there once."""

    components: dict[str, Component] = field(default_factory=dict)
    _needs: dict[str, set[str]] = field(default_factory=dict)

    def add(
        self,
        ref: str,
        name: object,
        said: object = "",
        *,
        kind: ComponentType = ComponentType.CRYPTOGRAPHIC_ASSET,
        crypto: CryptoProperties | None = None,
        values: Values | None = None,
        needs: Iterable[str] = (),
    ) -> BomRef:
        self._needs.setdefault(ref, set()).update(needs)
        if ref not in self.components:
            self.components[ref] = Component(
                name=text(name),
                type=kind,
                bom_ref=ref,
                description=text(said, "") or None,
                crypto_properties=crypto,
                properties=properties(values or {}),
            )
        return self.components[ref].bom_ref

    def ref(self, ref: str | None) -> BomRef | None:
        return self.components[ref].bom_ref if ref in self.components else None

    def dependencies(self, root: Component) -> list[Dependency]:
        """Return what depends on what; the root on everything that nothing else needs."""
        needed = {one for many in self._needs.values() for one in many}
        loose = [one for one in self.components if one not in needed]
        return [
            self._dependency(root.bom_ref, loose),
            *(self._dependency(one.bom_ref, self._needs[ref]) for ref, one in self.components.items()),
        ]

    def _dependency(self, ref: BomRef, needs: Iterable[str]) -> Dependency:
        known = (self.components[one].bom_ref for one in needs if one in self.components)
        return Dependency(ref=ref, dependencies=[Dependency(ref=one) for one in known])
