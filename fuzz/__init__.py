"""Harnesses that a fuzzer or a test feeds with bytes: what breaks a promise raises."""
