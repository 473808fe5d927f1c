"""The doors: command line, settings, wiring of the roles. The only room that may open the others."""
