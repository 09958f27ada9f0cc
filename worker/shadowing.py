"""Placeholder until the real one lands."""
def check_not_shadowed():
    pass
