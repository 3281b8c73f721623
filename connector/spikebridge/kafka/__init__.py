"""Apache Kafka: a narrow client that two libraries can give, for logs and sinks. Importing it needs neither."""
