"""Connections: which tokens, in what state?"""
