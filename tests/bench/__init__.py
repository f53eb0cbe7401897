"""`make bench`: what a message costs and how long it takes, with a yardstick in the same run."""
