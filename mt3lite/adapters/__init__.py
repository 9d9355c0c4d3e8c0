"""Bridges to the ecosystem around T5X. Each imports the library that it is for when it is used, not before."""
