"""authorisation: to be written."""
