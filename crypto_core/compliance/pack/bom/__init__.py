"""What a cryptography bill of materials is made of. Takes cyclonedx-python-lib (extra `cbom`)."""
