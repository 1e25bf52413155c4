"""The policy of a zone: its document, its rules, its compiled form."""
