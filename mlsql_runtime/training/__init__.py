"""Train: run the fit groups of a train statement and publish what they made."""
