"""The networks: from an image to faces, landmarks, embeddings and probabilities, and the model set made of them."""
