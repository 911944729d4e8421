"""What running as a service adds: duties at intervals, notifications."""

from __future__ import annotations

from console.capabilities import AddedCommand, AddedPage, Manifest

MANIFEST = Manifest(
    "service",
    commands={
        "watch": AddedCommand(
            "console.service.watch",
            "Do all that at intervals, as a service; metrics over HTTP.",
            after="approvals",
        ),
        "notify": AddedCommand(
            "console.service.notify",
            "Send notifications, test receivers, list what was not sent.",
            after="watch",
        ),
    },
    pages={
        "watch": AddedPage(
            "Every day",
            "The same as a service: at intervals, with notifications and metrics over HTTP.",
            "console/service/watch.md",
            after="daily",
        ),
        "notifications": AddedPage(
            "Every day",
            "Slack, PagerDuty, Teams, mail: who is told of what, and when.",
            "console/service/notifications.md",
            after="watch",
        ),
    },
    extras={"notify": ("apprise",)},
)
