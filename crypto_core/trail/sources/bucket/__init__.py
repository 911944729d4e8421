"""A trail's bucket: its places, objects and signed digests."""
