"""The `remote-client` command: one file for each group of commands. `cli.main` starts it."""
