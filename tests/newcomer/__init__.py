"""A stranger's first hour: what is typed, and what is then on the screen."""
