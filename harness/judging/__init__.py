"""How a defect is written down: its header, its findings, and the questions that several diagnoses ask."""
