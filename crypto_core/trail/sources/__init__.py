"""Where events come from: files, CloudTrail's own API, the trail's bucket, query engines."""
