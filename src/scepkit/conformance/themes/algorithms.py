"""algorithms: to be written."""
