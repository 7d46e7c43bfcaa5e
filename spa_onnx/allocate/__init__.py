"""How much of every dim goes: the budget, and the passes that spend it."""
