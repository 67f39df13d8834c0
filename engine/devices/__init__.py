"""The care of stores over several devices: commands, procedures, and how fast they may go."""
