"""Many rows through one method; see `remote_client.bulk`."""
