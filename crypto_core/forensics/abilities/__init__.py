"""What tokens can do: asked of their providers, kept on this machine, and an incident's part of it."""
