"""What a job takes, in words: each result with what to do about it, then what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from textwrap import wrap
from types import MappingProxyType

from crypto_core.reencryption.scale.figures import Basis, Figure
from crypto_core.reencryption.scale.forecast import Forecast, Result
from screens.ages import span

_WIDTH = 78
_INDENT = "    "
_POWERS = "kMGTP"


def forecast_lines(told: Forecast) -> Iterator[str]:
    yield ""
    yield "What it takes"
    for result in told.results:
        yield f"  {result.name}: {value_words(result)}"
        yield from wrap(result.advice, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    yield ""
    yield "Reckoned from"
    for figure in told.figures:
        yield f"  {_figure(figure)}"


def _figure(figure: Figure) -> str:
    origin = figure.origin.value
    about = f"{origin}, {figure.source}" if figure.source and figure.origin is not Basis.SUPPOSED else origin
    number = f"{figure.value:,.4g}" if figure.value < 1_000 else f"{figure.value:,.0f}"
    return f"{figure.name} {number} {figure.unit}".rstrip() + f": {about}"


def value_words(result: Result) -> str:
    """Return how much of it: "at least 5 h", "3.1 TB"."""
    words = _WORDS.get(result.unit)
    return f"{result.value:,.0f}" if words is None else words(result.value)


def _bytes(value: float) -> str:
    power = 0
    while value >= 999.5 and power < len(_POWERS):
        value, power = value / 1_000, power + 1
    return f"{value:,.0f} B" if not power else f"{value:.3g} {_POWERS[power - 1]}B"


_WORDS: Mapping[str, Callable[[float], str]] = MappingProxyType(
    {
        "s": lambda value: f"at least {span(timedelta(seconds=max(value, 1)))}",
        "USD": lambda value: f"about ${value:,.2f}",
        "B": _bytes,
        "B/s": lambda value: f"{_bytes(value)}/s",
        "%": lambda value: f"{value:.0%}",
        "cores": lambda value: f"{value:,.1f}",
    }
)
