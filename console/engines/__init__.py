"""Query engines of AWS's over a trail's files: Athena, Security Lake's tables."""
