"""The calls of the server, one module for each family; `listing` has all of them."""
