"""What goes out: readers of the events topic, one module per destination."""
