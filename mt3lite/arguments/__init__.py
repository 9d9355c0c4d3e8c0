"""What may be written after ``mt3lite``, one module a command. They import nothing heavy, so that --help is quick."""
