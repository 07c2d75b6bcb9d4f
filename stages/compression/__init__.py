"""Smaller forms of a model, and the choice among them by measurement."""
