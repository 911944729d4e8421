"""Which algorithms protect what, and how strong they are.

Strengths are those of NIST SP 800-57 Part 1 Rev. 5, tables 2 and 3; quantum categories those of NIST's
post-quantum standardisation: 1, 3 and 5 are as hard as finding a key of AES-128, AES-192 and AES-256, 2 and 4
as hard as a collision of SHA-256 and SHA-384; 0 is none of them.
"""
