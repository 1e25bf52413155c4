"""The command line: runs the service, or talks HTTP to a running one."""
