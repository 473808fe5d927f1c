"""The sinks: readers of the events topic, one module per destination."""
