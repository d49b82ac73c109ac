"""A SCEP CA as a server: HTTP in, use cases, HTTP out.

Needs the extra ``scepkit[server]``.  The rule of this package: everything behind HTTP is
synchronous code that is given the time; a web framework is known to few files and to no use case.
"""
