"""HTTP/1.1 on connections of our own: from the protocol without I/O up to calls and streams of events."""
