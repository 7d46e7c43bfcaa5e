"""Inputs to run a model on: read in the forms that users have, checked, or made up."""
