"""Replays captures in this process: decides again from recorded embeddings, or looks at the pictures again."""
