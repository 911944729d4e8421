"""Sanitises the text that steps keep: one line, no control characters, no secret.

Whoever acts and captures puts no secret into what it returns; this is the line behind that one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from crypto_core.database.state.incident_changes import EvidenceDraft
from crypto_core.envelope import STORED_PREFIXES
from crypto_core.envelope.issuers import TOKEN_PREFIXES
from crypto_core.incidents.steps.step_contracts import Captured
from crypto_core.log.redaction import redacted
from crypto_core.values.clean_text import CleanText, clean, json_escaped
from crypto_core.values.counts import first_lines
from crypto_core.values.errors import RefusedError
from crypto_core.values.secret import Secret

NOTHING: Mapping[str, Any] = {"found": None}
"""What is kept of a kind of evidence of which nothing was there."""

EVIDENCE_LIMIT = 32 * 1024 * 1024
"""Characters of one piece of evidence."""

LINE_LIMIT = 500
_LINES = 60
_LEAST_SECRET = 6

_TOKEN = re.compile(
    "(?<![A-Za-z0-9+/_-])(?:"
    + "|".join(map(re.escape, TOKEN_PREFIXES))
    + "|"
    + "|".join(map(re.escape, STORED_PREFIXES.values()))
    + r")[A-Za-z0-9_.=%+/~-]{10,}"
)


def kept_text(text: object, limit: int = LINE_LIMIT) -> CleanText:
    """Return a text fit to be stored: cleaned, apparent secrets removed, at most `limit` long."""
    return CleanText(clean(redacted(str(text)[: limit * 16]), limit).strip())


def joined(lines: Iterable[object]) -> str:
    """Return lines as one text, separated although most end without a full stop."""
    return " · ".join(text for line in lines if (text := str(line).strip()))


class Hiding:
    """Takes the secrets that an operator has entered out of what is kept. Holds copies until it is wiped."""

    def __init__(self, inputs: Mapping[str, str | Secret]) -> None:
        entered = [value for value in inputs.values() if isinstance(value, Secret)]
        self._secrets = [Secret.of(secret.reveal()) for secret in entered if len(secret) >= _LEAST_SECRET]

    def wipe(self) -> None:
        for secret in self._secrets:
            secret.wipe()

    def text(self, text: object, limit: int = LINE_LIMIT) -> CleanText:
        """Return a text as it may be kept; see `kept_text`."""
        return kept_text(self._without(str(text)), limit)

    def lines(self, lines: Iterable[object]) -> tuple[str, ...]:
        """Return lines as they may be kept; where there are too many, the last one says how many more."""
        return first_lines([self.text(line) for line in lines], _LINES)

    def values(self, values: Mapping[str, str]) -> dict[str, str]:
        return {clean(name, 60): self.text(value, 2_000) for name, value in values.items()}

    def evidence(self, captured: Captured) -> EvidenceDraft:
        """Return a piece of evidence as JSON text. Raises RefusedError for what is no JSON, or too long.

        Its strings stay as they are, but for secrets: control and format characters are escaped, so the text
        itself holds none.
        """
        try:
            text = _json(captured.content)
        except (TypeError, ValueError, RecursionError) as error:
            # What the encoder says may repeat what it met with.
            raise RefusedError(f"The evidence {captured.kind} is no JSON: {type(error).__name__}.") from None
        if len(text) > EVIDENCE_LIMIT:
            raise RefusedError(
                f"The evidence {captured.kind} is longer than {EVIDENCE_LIMIT:,} characters.",
                remedy="Narrow the incident's scope or its time, and capture it again.",
            )
        text = _TOKEN.sub("[hidden-token]", self._without(json_escaped(text)))
        return EvidenceDraft(captured.kind.value, self.text(captured.title, 200), text)

    def _without(self, text: str) -> str:
        for secret in self._secrets:
            written = secret.reveal()
            for form in {written, json.dumps(written)[1:-1], json.dumps(written, ensure_ascii=False)[1:-1]}:
                text = text.replace(form, "[hidden-input]")
        return text


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)


NOTHING_SHA256 = hashlib.sha256(_json(NOTHING).encode()).hexdigest()


def told_inputs(inputs: Mapping[str, str | Secret]) -> dict[str, Any]:
    """Return what may be journaled of inputs: texts, and of secrets their names alone."""
    return {
        "inputs": {clean(k, 60): kept_text(v, 200) for k, v in inputs.items() if isinstance(v, str)},
        "secrets": sorted(clean(k, 60) for k, v in inputs.items() if isinstance(v, Secret)),
    }
