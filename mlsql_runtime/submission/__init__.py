"""Run a plan as a Spark application, for Airflow and for the command line: its files, environment, processes and result."""

JOB_FOLDER_PREFIX = "mlsql-job-"  # of the folder with a job's files on the submitter's machine
LOST_RESULT = "the job's result cannot be written: "  # and why: the last words of a driver whose storage fails
OWNER_FILE = "job.json"  # in the folder of a run on a cluster, as long as somebody wants the run's result
