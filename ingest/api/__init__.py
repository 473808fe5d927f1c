"""The handlers of the HTTP calls, one module for each family of calls; `listing` contains all of them."""
