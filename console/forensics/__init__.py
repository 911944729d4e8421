"""The commands, manual pages and services of forensics."""
