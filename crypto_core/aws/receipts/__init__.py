"""What this process writes down of its own KMS calls: which call was about which token.

CloudTrail records each call with the request id that KMS answered; a receipt has the same id and the token's
reference. Together they say which token was opened, also of v1 envelopes, whose calls name none.
"""
