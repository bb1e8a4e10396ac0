"""What a server can do and which types it speaks. Pure: no I/O, no event loop."""
