"""The border: how somebody else's text and files come in. Nothing here trusts what it reads, and nothing is run."""
