"""The model, `model.factory`, and an example of its inputs, `model.inputs`."""

import numpy as np
from transformers import BertConfig, BertForSequenceClassification

from reviews.texts import WORDS


def make_model(**options):
    """Return BERT of the given size; it is called with the inputs in the order below."""
    config = BertConfig(vocab_size=len(WORDS), num_labels=2, attn_implementation="eager", **options)
    return BertForSequenceClassification(config)


def make_inputs():
    """Return per input an example and the names of its dynamic axes."""
    ids, axes = np.ones((1, 16), np.int64), ("batch", "sequence")
    return {"input_ids": (ids, axes), "attention_mask": (ids, axes)}
