"""How fast it serves: beside a bare server that checks nothing, and beside the peers."""
