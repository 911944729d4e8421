"""The sections of a report, each a record of its own: what it reads, and how it is shown."""
