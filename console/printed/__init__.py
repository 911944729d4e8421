"""What commands print: documents, tables, and the words for jobs, plans and incidents."""
