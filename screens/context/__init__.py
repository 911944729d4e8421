"""Context: where does the console work?"""
