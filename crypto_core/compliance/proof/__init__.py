"""Verification of records and packs by Python 3.9's standard library; `assembly` makes one file of it."""
