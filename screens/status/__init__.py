"""Status: are we all right?"""
