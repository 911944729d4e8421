"""AWS over boto3: KMS, sessions, the clock, failures and what helps, other Regions, the signer."""
