"""Recipes that come with the package; each is a small TOML file."""
