"""The people: the fold of the people topic, and the exact search over their embeddings."""
