"""Lists: the filter language, pages, lists in memory, rows as files, and how much of a whole was seen."""
