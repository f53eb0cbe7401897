"""Parts that are killed and frozen, in the middle of the work, across T, at named steps: nobody twice, nobody lost."""
