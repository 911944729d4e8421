"""What running as a service adds: duties at intervals, notifications."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

_WATCH = "Do all that at intervals, as a service; metrics over HTTP."
_NOTIFY = "Send notifications, test receivers, list what was not sent."
_SERVICE = "The same as a service: at intervals, with notifications and metrics over HTTP."
_TOLD = "Slack, PagerDuty, Teams, mail: who gets which notification, and when."

MANIFEST = Manifest(
    "service",
    {
        "watch": AddedCommand(_WATCH, "approvals"),
        "notify": AddedCommand(_NOTIFY, "watch"),
    },
    {
        "watch": AddedPage("Every day", _SERVICE, "daily"),
        "notifications": AddedPage("Every day", _TOLD, "watch"),
    },
    {"notify": ("apprise",)},
    settings="console.service.settings:ServiceSettings",
)
