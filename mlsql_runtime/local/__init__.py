"""Train one group on this machine, without Spark where the data allow it: what ``mlsql fit`` does.

``request`` and ``source`` import the standard library only; whatever imports numpy and pyarrow is imported in functions, when
the script, its interpreter and its data are known to be there. The formats give Arrow tables with the columns that Spark would
give; ``write`` lays them out as Spark would.
"""
