"""``mlsql fit``: train one group on this machine, without Spark where the data allow it.

``request`` and ``data_source`` need the standard library only. numpy and pyarrow are imported in functions, once the script, its
interpreter and its data are known to exist.
"""
