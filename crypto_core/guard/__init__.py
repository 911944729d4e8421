"""The guarded change: who agreed to it, who else did, and what a signature is over."""
