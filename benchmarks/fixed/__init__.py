"""The parts of ``fixed_costs.py``: what a task, a statement or a look into the store costs, however small the work."""
