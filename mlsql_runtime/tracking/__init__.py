"""Trainings as runs on an MLflow tracking server, and functions as aliases of registered models there."""
