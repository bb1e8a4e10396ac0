"""Transports on other libraries' engines, for what only those can do."""
