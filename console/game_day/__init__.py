"""Game days: a scripted intruder in the sandbox, an operator who responds, and a score."""
