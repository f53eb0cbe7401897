"""The plumbing all four services share; it holds only what at least two of them use."""
