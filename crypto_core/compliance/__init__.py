"""Controls of published standards, and what of them is met as far as Keydeck measures it.

A snapshot holds what was measured; tests are functions over it; controls name the tests that answer them. A
snapshot of another day is judged in the same way.
"""
