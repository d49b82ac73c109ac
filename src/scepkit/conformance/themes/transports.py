"""transports: to be written."""
