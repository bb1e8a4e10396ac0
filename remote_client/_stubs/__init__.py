"""Parts of `remote_client._stubs.writer`: literals, names, annotations, layout."""
