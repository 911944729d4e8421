"""Game days: a scripted intruder in the sandbox, an operator who responds, and a score."""

GAMES = ("key-compromise", "token-leak", "insider", "ransom-disable", "inside-role")
"""The names of the stories, the first to play first."""
