"""gRPC by an engine of asyncio's own: HTTP/2 and messages without I/O, and the shell that carries them out."""
