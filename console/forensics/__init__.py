"""The commands of forensics."""
