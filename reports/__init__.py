"""The report and its writers: terminal, JSON, HTML, JUnit."""
