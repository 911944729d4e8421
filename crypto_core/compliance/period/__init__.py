"""Controls over a period: days judged by their records, lapses with start and end, and all changes.

A day without a record is a gap, never a day on which all was well.
"""
