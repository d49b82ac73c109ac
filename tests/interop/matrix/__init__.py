"""Which client works with which server, over every algorithm: docs/interop.md, made and checked.

cells       what is tried, and what became of it
running     tries everything that one client can ask one server
library     our client, in this process
peers       jscep's client, and the clients that are programs
page        the tables
"""
