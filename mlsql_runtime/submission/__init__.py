"""Start a plan as a Spark application, from wherever: its files, its environment, its processes, its result."""
