"""The subcommands of keydeck, a module for each group of them."""
