"""The console's themes: calm grounds, one accent colour, and red, amber and green for severity only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.theme import Theme


def _theme(
    name: str,
    *,
    dark: bool,
    accent: str,
    text: str,
    grounds: tuple[str, str, str],
    severity: tuple[str, str, str],
    muted: tuple[str, str],
    header: str,
    cursor: tuple[str, str],
    scrollbar: tuple[str, str],
) -> Theme:
    """Return a theme. Grounds: background, surface, panel. Severity: well, warning, error."""
    return Theme(
        name=name,
        dark=dark,
        primary=accent,
        accent=accent,
        foreground=text,
        background=grounds[0],
        surface=grounds[1],
        panel=grounds[2],
        success=severity[0],
        warning=severity[1],
        error=severity[2],
        variables={
            "muted": muted[0],
            "disabled": muted[1],
            "header": header,
            "cursor": cursor[0],
            "cursor-idle": cursor[1],
            "button-focus-text-style": "bold",
            "scrollbar": scrollbar[0],
            "scrollbar-hover": scrollbar[1],
            "scrollbar-background": grounds[0],
            "scrollbar-background-hover": grounds[0],
            "scrollbar-background-active": grounds[0],
        },
    )


DARK = _theme(
    "keydeck-dark",
    dark=True,
    accent="#6cb6d9",
    text="#d3d8df",
    grounds=("#11161c", "#171d25", "#202832"),
    severity=("#7cc48f", "#e3b341", "#f2787a"),
    muted=("#8d98a6", "#5b6672"),
    header="#1a222b",
    cursor=("#24405a", "#1d2a37"),
    scrollbar=("#2b3641", "#3b4957"),
)

LIGHT = _theme(
    "keydeck-light",
    dark=False,
    accent="#0a6a9c",
    text="#20262d",
    grounds=("#fbfbf9", "#f3f4f2", "#e6e9ea"),
    severity=("#1a7f42", "#8f5f00", "#bd1f2d"),
    muted=("#5a6570", "#9aa3ab"),
    header="#eceff0",
    cursor=("#cfe3ef", "#e4ecf0"),
    scrollbar=("#cdd3d7", "#b4bcc2"),
)

CONTRAST = _theme(
    "keydeck-contrast",
    dark=True,
    accent="#5fd7ff",
    text="#ffffff",
    grounds=("#000000", "#0c0c0c", "#262626"),
    severity=("#5fff87", "#ffd75f", "#ff8787"),
    muted=("#d0d0d0", "#a8a8a8"),
    header="#1c1c1c",
    cursor=("#005f87", "#303030"),
    scrollbar=("#8a8a8a", "#bcbcbc"),
)

COLOUR_BLIND = _theme(
    # Okabe and Ito's palette: blue, orange and vermilion differ in brightness and for every kind of sight.
    "keydeck-colour-blind",
    dark=True,
    accent="#cc79a7",
    text="#d3d8df",
    grounds=("#11161c", "#171d25", "#202832"),
    severity=("#56b4e9", "#f0e442", "#e8743b"),
    muted=("#9aa5b1", "#626d79"),
    header="#1a222b",
    cursor=("#3a3550", "#262438"),
    scrollbar=("#2b3641", "#3b4957"),
)

THEMES = (DARK, LIGHT, CONTRAST, COLOUR_BLIND)

ANSI = "ansi"
"""What the settings call the theme in the terminal's own sixteen colours."""
_ANSI_THEMES = ("ansi-dark", "ansi-light")
_CYCLE = (*(theme.name for theme in THEMES), *_ANSI_THEMES)

_ANSI_VARIABLES = {
    "muted": "ansi_default",
    "disabled": "ansi_bright_black",
    "header": "ansi_default",
    "cursor": "ansi_blue",
    "cursor-idle": "ansi_default",
    "scrollbar": "ansi_bright_black",
    "scrollbar-hover": "ansi_bright_black",
    "scrollbar-active": "ansi_bright_black",
    "scrollbar-background": "ansi_default",
    "scrollbar-background-hover": "ansi_default",
    "scrollbar-background-active": "ansi_default",
    "button-focus-text-style": "bold",
}


def theme_named(name: str, known: Iterable[str]) -> str | None:
    """Return the whole name of a theme, None if there is none: "dark" is keydeck-dark, "ansi" ansi-dark."""
    names = list(known)
    wanted = "ansi-dark" if name == ANSI else name
    return next((full for full in (wanted, f"keydeck-{wanted}") if full in names), None)


def theme_after(name: str) -> str:
    """Return the theme that follows in the round of ours and the terminal's own."""
    return _CYCLE[(_CYCLE.index(name) + 1) % len(_CYCLE)] if name in _CYCLE else DARK.name


def defaults_for(theme: Theme) -> dict[str, str]:
    """Return the colours of ours that a theme which isn't ours lacks."""
    if theme.name in _ANSI_THEMES:
        return dict(_ANSI_VARIABLES)
    ours: Mapping[str, str] = (DARK if theme.dark else LIGHT).variables
    return dict(ours)
