"""Holds messages until they are due, then lets them go or drops them, by the log alone."""
