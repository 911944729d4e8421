"""What every answer tells the browser: load nothing from elsewhere, keep nothing, show it in no frame."""

from __future__ import annotations

from collections.abc import Mapping

from console.web.addresses import Addresses


def security_headers(addresses: Addresses) -> Mapping[str, str]:
    """Return the headers of every answer."""
    # Not every browser lets 'self' stand for the websocket of the same origin; no policy can name IPv6.
    names = sorted(origin for origin in addresses.origins if "[" not in origin)
    sockets = " ".join(name.replace("http", "ws", 1) for name in names)
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # xterm.js makes its style sheets in the page
        "img-src 'self'",
        "font-src 'self'",
        f"connect-src 'self' {sockets}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "clipboard-read=(), camera=(), microphone=(), geolocation=()",
        "Server": "keydeck",
    }
