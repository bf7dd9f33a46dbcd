"""Hydra multirun whose every job is a DVC experiment: `python -m trtproof.sweep -m ...`."""
