"""The log. One port (broker.port), one module per make of it; bytes only, it knows no faces."""
