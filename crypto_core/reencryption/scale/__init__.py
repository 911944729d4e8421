"""What a job over very many tokens takes of processes, hosts, KMS and PostgreSQL, told before it begins."""
