"""Tests over a snapshot, by what they are about; `all_tests` has every one of them."""
