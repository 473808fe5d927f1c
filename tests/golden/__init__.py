"""Data that released versions wrote, one folder a version, which every later version opens (tests/golden/make.py)."""
