"""Jobs: many tokens written anew, followed as they go."""
