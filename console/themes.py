"""The console's two themes: calm grounds, one accent colour, and red, amber and green for severity only."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="keydeck-dark",
    dark=True,
    primary="#6cb6d9",
    accent="#6cb6d9",
    foreground="#d3d8df",
    background="#11161c",
    surface="#171d25",
    panel="#202832",
    success="#7cc48f",
    warning="#e3b341",
    error="#f2787a",
    variables={
        "muted": "#8d98a6",
        "disabled": "#5b6672",
        "header": "#1a222b",
        "cursor": "#24405a",
        "cursor-idle": "#1d2a37",
        "button-focus-text-style": "bold",
        "scrollbar": "#2b3641",
        "scrollbar-hover": "#3b4957",
        "scrollbar-background": "#11161c",
        "scrollbar-background-hover": "#11161c",
        "scrollbar-background-active": "#11161c",
    },
)

LIGHT = Theme(
    name="keydeck-light",
    dark=False,
    primary="#0a6a9c",
    accent="#0a6a9c",
    foreground="#20262d",
    background="#fbfbf9",
    surface="#f3f4f2",
    panel="#e6e9ea",
    success="#1a7f42",
    warning="#8f5f00",
    error="#bd1f2d",
    variables={
        "muted": "#5a6570",
        "disabled": "#9aa3ab",
        "header": "#eceff0",
        "cursor": "#cfe3ef",
        "cursor-idle": "#e4ecf0",
        "button-focus-text-style": "bold",
        "scrollbar": "#cdd3d7",
        "scrollbar-hover": "#b4bcc2",
        "scrollbar-background": "#fbfbf9",
        "scrollbar-background-hover": "#fbfbf9",
        "scrollbar-background-active": "#fbfbf9",
    },
)

THEMES = (DARK, LIGHT)
