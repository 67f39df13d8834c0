"""The parts of a striped device: its code, its strips, its children and who of them counts."""
