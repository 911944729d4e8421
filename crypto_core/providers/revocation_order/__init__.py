"""In which order to revoke tokens: what each can do, times how exposed it is."""
