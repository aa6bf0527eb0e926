"""A table as records of a Kafka topic: sent by Spark tasks, read by the script."""
