"""What is right, `evaluate.scorers`: trtproof's own errors, in the unit of the labels."""

from trtproof.scoring.regression import NumberErrors

SCORER = NumberErrors(unit="euros")
