"""Prediction for many recordings, from the command line."""
