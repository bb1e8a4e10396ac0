"""What the client costs, measured beside its floor and its peers in the same run: `make bench`."""
