"""The networks, which compute faces, landmarks, embeddings and probabilities from images, and the model set of them."""
