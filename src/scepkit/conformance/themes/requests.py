"""requests: to be written."""
