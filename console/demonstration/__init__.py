"""What `keydeck demo` adds to the sandbox: its story, a platform that plays along, a shell over all of it."""
