"""Log: what happened to the console's calls?"""
