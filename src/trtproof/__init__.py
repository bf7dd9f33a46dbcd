"""Turn a PyTorch model into measured, evaluated engines, with evidence that can be re-run."""

__version__ = "0.1.0"
