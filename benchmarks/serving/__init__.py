"""The speed of the server, compared with a bare one that checks nothing and with other servers."""
