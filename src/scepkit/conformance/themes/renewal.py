"""renewal: to be written."""
