"""The console in a browser: one server, one browser, one console process behind it (extra keydeck[web])."""
