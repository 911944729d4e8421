"""What was measured day by day: signed records in a chain, kept in the database and named by the journal."""
