"""The gallery: the fold of the people topic with embeddings, and the exact search over these embeddings."""
