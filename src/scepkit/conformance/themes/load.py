"""load: to be written."""
