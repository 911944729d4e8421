"""The rules of verification, for Keydeck's own commands and for the outsider's verifier.

Its modules need the standard library of Python 3.9 alone: `assembly` makes one file of them. Who verifies
signatures and time stamps, and where entries come from, is given to them.
"""
