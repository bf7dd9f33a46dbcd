"""Ranges and histograms of activations, from one deterministic pass over the calibration split."""

from __future__ import annotations

from trtproof.calibration.files import Calibration

__all__ = ["Calibration"]
