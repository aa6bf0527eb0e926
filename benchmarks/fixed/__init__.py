"""The parts of ``fixed_costs.py``: the costs of a task, a statement and a read of the store that do not depend on the work."""
