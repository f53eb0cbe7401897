"""Parts that are killed and frozen in the middle of the work, again and again: nobody twice, nobody lost."""
