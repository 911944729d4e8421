"""The keydeck command, the Textual application, settings, wiring and the sandbox."""
