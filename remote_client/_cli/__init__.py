"""The `remote-client` command, with one module per command. `main` is the entry point."""
