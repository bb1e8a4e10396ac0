"""Parts of `remote_client.stubs`: literals, names, annotations, layout."""
