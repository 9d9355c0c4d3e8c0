"""Training: dataset folders, made-up pieces, examples, the trainer."""
