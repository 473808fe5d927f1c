"""The log: one port (broker.port) and two adapters, embedded and Kafka. Records are bytes; nothing here knows faces."""
