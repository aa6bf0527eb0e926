"""Sensors read the model store only."""
