"""The read side: progress, report, timeline; folded from every topic."""
