"""A period as a folder that an auditor takes away: documents, tables, records, the journal, one signature."""
