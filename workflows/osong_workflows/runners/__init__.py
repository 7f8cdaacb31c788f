"""Runners: who docks which chunk when; what comes out is the same."""
