"""The card that a demonstration opens with."""
