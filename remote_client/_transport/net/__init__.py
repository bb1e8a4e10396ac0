"""Sockets: addresses, connecting, TLS. Knows no protocol above them."""
