"""Compliance: which controls were met, on which days, and what proves it?"""
