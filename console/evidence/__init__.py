"""Evidence for auditors: controls, a record every day, packs, bills of materials."""
