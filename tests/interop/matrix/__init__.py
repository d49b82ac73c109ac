"""Which client works with which server, over every algorithm: docs/interop.md, made and checked.

cells         what is tried, what became of it, and how a cell says so
running       tries everything that one client can ask one server
library       our client, in this process
jscep_client  jscep's client
programs      the clients that are programs
evidence      whether each message came as its cell says, from our server's log
page          the tables
"""
