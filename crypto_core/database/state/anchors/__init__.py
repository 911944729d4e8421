"""Where checkpoints of the journal are fixed outside of its database: time stamps, a file, a bucket."""
