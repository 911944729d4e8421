"""A copy of the event store in Parquet: for DuckDB, Athena and pandas."""
