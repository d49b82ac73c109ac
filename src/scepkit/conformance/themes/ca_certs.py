"""ca_certs: to be written."""
