"""The listening side: sockets, TLS, time-outs, connections."""
