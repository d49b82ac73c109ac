"""polling: to be written."""
