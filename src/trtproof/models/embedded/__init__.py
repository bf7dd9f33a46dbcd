"""The embedded default model, its committed weights and the script that trained them."""
