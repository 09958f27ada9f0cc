"""Placeholder until the real one lands."""
import logging
def configure(settings):
    logging.basicConfig(level=logging.INFO)
