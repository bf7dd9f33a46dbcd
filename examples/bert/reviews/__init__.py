"""A classifier of short reviews: a small BERT of transformers, trained in seconds."""
