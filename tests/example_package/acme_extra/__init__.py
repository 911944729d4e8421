"""An example of a capability: a command and a page."""
