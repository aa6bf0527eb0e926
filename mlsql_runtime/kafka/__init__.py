"""Apache Kafka as this project uses it: settings, clients whose errors explain themselves, topics, groups."""
