"""`trtproof compare` and `trtproof check`: verdicts between two revisions, and on the budget."""
