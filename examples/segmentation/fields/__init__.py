"""Segmentation of aerial pictures, drawn: fields, a lake, a road; trained in half a minute."""
