"""The commands for who runs a CA: `scepkit init`, `serve`, `challenge`, `requests`, `certs`, ...

They work on the database of the running server, and through the same use cases
(`scepkit.server.admin`): there is no statement of SQL here.  The rule of this package: nothing
outside it imports it, so that a client's command never loads a server.
"""
