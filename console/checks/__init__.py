"""What `keydeck doctor` looks at on this machine."""
