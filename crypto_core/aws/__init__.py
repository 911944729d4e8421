"""AWS over boto3: KMS, receipts of its calls, sessions, the clock, failures and what helps, other Regions."""
