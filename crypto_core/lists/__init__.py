"""Lists: the filter language, pages, lists in memory, exported rows, and coverage."""
