"""What is done with a trained adapter: pages are read, its reading is measured, it is handed on."""
