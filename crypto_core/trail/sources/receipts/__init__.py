"""Receipts into the store: from files of lines, and from the table keydeck.receipt."""
