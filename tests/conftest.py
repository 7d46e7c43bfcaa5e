"""Settings of every test: hypothesis draws the same examples on each run, without a time limit."""

from hypothesis import settings

settings.register_profile("spa", derandomize=True, deadline=None)
settings.load_profile("spa")
