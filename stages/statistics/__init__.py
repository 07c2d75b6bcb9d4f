"""Scores, intervals and calibration: what a number is worth."""
