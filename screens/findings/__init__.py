"""Findings: what is wrong with keys, access and trails?"""
