"""The rules by which records and packs are verified. They need the standard library of Python 3.9 alone.

`assembly` makes one file of them and of `crypto_core.proof`, for an outsider.
"""
