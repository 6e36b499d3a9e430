"""What HTML pages are made of: the shell that holds them, and the parts of a check's report as things to look at."""
