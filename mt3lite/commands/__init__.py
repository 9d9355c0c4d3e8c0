"""What the command line does, one module a command; `mt3lite.cli` imports a command's module when it runs."""
