"""Decoding, `evaluate.scorers`: the best path of the CTC head, then word and character errors."""

from dictation.sounds import SYMBOLS
from trtproof.scoring.wer import CtcErrorRate

SCORER = CtcErrorRate(vocabulary=SYMBOLS, blank=0, separator="|")
