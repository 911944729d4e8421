"""The keydeck command, the Textual application, settings, the container of services and the sandbox."""
