"""Small real jobs with faults at random moments, and a program that looks at what they leave.

``campaign`` runs a case, which ``cases`` draws from a seed: a job (``jobs``) at a place (``places``), with its model in some
storage (``storages``), and one or two faults (``faults``, ``storage_faults``) of the ``kinds`` whose turn it is. ``tries`` are
the processes of Airflow that run the task; ``journal`` keeps what came of it. Afterwards ``invariants`` looks at what is left: it
knows the files of the store, the process table and the broker, and uses nothing of the code that wrote them.
"""
