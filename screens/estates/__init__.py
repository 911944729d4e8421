"""Estates: how do all of them stand?"""
