"""What the operator sees: one folder per screen, and the widgets that screens share."""
