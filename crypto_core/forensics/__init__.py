"""Decoys, old copies, providers' audit logs, the search for leaked tokens, and what tokens can do."""
