"""The networks: their typed manifest, their cache (fetch, verify, prepare), and the only import of ONNX Runtime."""
