"""What stands in a pack's document, section by section: functions of the period, which write no page."""
