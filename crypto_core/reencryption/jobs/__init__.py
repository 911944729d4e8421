"""Jobs in PostgreSQL: cut into chunks, worked on by any number of processes, ended by a census."""
