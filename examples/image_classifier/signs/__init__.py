"""A classifier of drawn signs: a small ResNet of transformers, trained in seconds."""
