"""The networks: a typed manifest, fetch, verify, prepare, and the one place where ONNX Runtime is opened."""
