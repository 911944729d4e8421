"""Keys: which KMS keys guard the tokens?"""
