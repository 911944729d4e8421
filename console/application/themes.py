"""The console's themes: calm grounds, one accent colour, and red, amber and green for severity only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.theme import Theme

# Okabe and Ito's palette for the colour-blind: its colours differ in brightness and for every kind of sight.
_NAMES = ("keydeck-dark", "keydeck-light", "keydeck-contrast", "keydeck-colour-blind")
_COLOURS = {
    "accent": ("#6cb6d9", "#0a6a9c", "#5fd7ff", "#cc79a7"),
    "text": ("#d3d8df", "#20262d", "#ffffff", "#d3d8df"),
    "background": ("#11161c", "#fbfbf9", "#000000", "#11161c"),
    "surface": ("#171d25", "#f3f4f2", "#0c0c0c", "#171d25"),
    "panel": ("#202832", "#e6e9ea", "#262626", "#202832"),
    "success": ("#7cc48f", "#1a7f42", "#5fff87", "#56b4e9"),
    "warning": ("#e3b341", "#8f5f00", "#ffd75f", "#f0e442"),
    "error": ("#f2787a", "#bd1f2d", "#ff8787", "#e8743b"),
    "muted": ("#8d98a6", "#5a6570", "#d0d0d0", "#9aa5b1"),
    "disabled": ("#5b6672", "#9aa3ab", "#a8a8a8", "#626d79"),
    "header": ("#1a222b", "#eceff0", "#1c1c1c", "#1a222b"),
    "cursor": ("#24405a", "#cfe3ef", "#005f87", "#3a3550"),
    "cursor-idle": ("#1d2a37", "#e4ecf0", "#303030", "#262438"),
    "scrollbar": ("#2b3641", "#cdd3d7", "#8a8a8a", "#2b3641"),
    "scrollbar-hover": ("#3b4957", "#b4bcc2", "#bcbcbc", "#3b4957"),
}
"""The themes' colours by what they are for. Success, warning and error are severity, and nothing else."""


def _theme(name: str, colours: Mapping[str, str]) -> Theme:
    ground = colours["background"]
    ours = ("muted", "disabled", "header", "cursor", "cursor-idle", "scrollbar", "scrollbar-hover")
    return Theme(
        name=name,
        dark=name != "keydeck-light",
        primary=colours["accent"],
        accent=colours["accent"],
        foreground=colours["text"],
        background=ground,
        surface=colours["surface"],
        panel=colours["panel"],
        success=colours["success"],
        warning=colours["warning"],
        error=colours["error"],
        variables={
            **{role: colours[role] for role in ours},
            "button-focus-text-style": "bold",
            "scrollbar-background": ground,
            "scrollbar-background-hover": ground,
            "scrollbar-background-active": ground,
        },
    )


THEMES = tuple(
    _theme(name, {role: colours[at] for role, colours in _COLOURS.items()}) for at, name in enumerate(_NAMES)
)
DARK, LIGHT, *_ = THEMES

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
