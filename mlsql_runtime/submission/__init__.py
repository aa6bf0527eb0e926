"""Run a plan as a Spark application, for Airflow and for the command line: its files, environment, processes and result."""
