"""queries: to be written."""
