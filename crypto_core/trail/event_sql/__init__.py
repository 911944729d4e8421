"""Questions about events as SQL that DuckDB and Trino read alike, over the columns of a copy in Parquet."""
