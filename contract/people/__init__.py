"""The records of the people topic: their keys, how they are read, and who they say is enrolled."""
