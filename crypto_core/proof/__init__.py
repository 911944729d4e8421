"""The rules by which the journal is verified. They need the standard library of Python 3.9 alone.

Who verifies signatures and time stamps, and where entries come from, is given to them.
"""
