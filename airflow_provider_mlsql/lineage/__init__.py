"""OpenLineage: what tasks report of their jobs through Airflow's own provider, if that is installed.

Only ``settings`` is imported by operators. The other modules import OpenLineage, and are imported when Airflow asks for facets.
"""
