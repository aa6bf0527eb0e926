"""Apache Kafka: settings, clients that say why they cannot connect, topics, consumer groups and the topic of a training run."""
